"""Cycles of real nodes against a real Redis: what is read of the market, what is written and what is withheld."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tasks.cycles import FAST, SLOW, run_cycle
from tasks.node import Node
from tests.tasks.cycle_runs import KEYS, PERIOD_MS, Counted, MakeNode, S, dispatch, lease, report, run
from tests.tasks.market import Market
from tickfence.coordination.dispatch import Dispatch


def test_a_report_is_written_under_its_lease(node: MakeNode, market: Market, redis_client: redis.Redis) -> None:
    one, published = node(), Counted("nt_report_publish_total", cycle="fast")
    run(one)
    written, held = report(redis_client), lease(redis_client)
    assert written["writer"] == {"nodeId": "node-001", "writerToken": int(held["token"])}
    assert held["owner"] == str(one.owner)
    assert int(held["seq"]) == int(held["token"]) + 1
    assert written["symbol"] == S
    assert written["best_bid"] == {"price": 99.5, "qty": float(market.update_id)}
    assert written["best_ask"] == {"price": 101.0, "qty": 1.0}
    assert written["last_price"] == 100.25
    assert written["high_24h"] == 101.0
    assert 0 < redis_client.pttl(KEYS.report(S)) <= 300_000
    assert published() == 1
    assert one.assigned() == 1


def test_each_report_shows_what_is_new_and_counts_on(node: MakeNode, market: Market, redis_client: redis.Redis) -> None:
    one = node()
    run(one)
    first = lease(redis_client)
    cold = Counted("nt_cold_starts_total", reason="first")
    for number in range(1, 4):
        market.diff(bids=[(99.5 + number / 10, 3.0)])
        run(one)
        assert report(redis_client)["best_bid"]["price"] == 99.5 + number / 10
        held = lease(redis_client)
        assert int(held["seq"]) == int(first["seq"]) + number
        assert held["token"] == first["token"]
    assert cold() == 0


def test_a_name_beyond_ascii_goes_all_the_way(node: MakeNode, redis_client: redis.Redis) -> None:
    symbol = "币安人生USDT"
    Market(redis_client, symbol).open()
    run(node(), symbol)
    assert report(redis_client, symbol)["symbol"] == symbol
    assert lease(redis_client, symbol)["node"] == "node-001"


def test_several_symbols_share_a_message(node: MakeNode, redis_client: redis.Redis) -> None:
    symbols = ["ADAUSDT", "BNBUSDT", "BTCUSDT"]
    for symbol in symbols:
        Market(redis_client, symbol).open()
    one = node()
    run(one, *symbols, "NODATAUSDT")
    assert all(report(redis_client, symbol)["symbol"] == symbol for symbol in symbols)
    assert report(redis_client, "NODATAUSDT") is None
    assert one.assigned() == 4


@pytest.mark.usefixtures("market")
def test_a_cycle_costs_two_round_trips(node: MakeNode, redis_client: redis.Redis) -> None:
    symbols = [S, "ADAUSDT", "BNBUSDT"]
    for symbol in symbols[1:]:
        Market(redis_client, symbol).open()
    one = node()
    run(one, *symbols)
    reads = Counted("nt_report_publish_total", cycle="fast")
    sent = _round_trips(one)
    run(one, *symbols)
    assert reads() == 3
    assert sent() == 2


def _round_trips(node: Node) -> Callable[[], int]:
    """Number of times the node's connection has sent something since."""
    connection = node.client.connection_pool.get_connection()
    node.client.connection_pool.release(connection)
    count, send = 0, connection.send_packed_command

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        return send(*arguments, **options)

    connection.send_packed_command = counting
    return lambda: count


def test_a_gap_that_a_snapshot_bridges_already_costs_no_cycle(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    one = node()
    run(one)
    market.diff(lost=3)
    market.diff()
    market.snapshot(bids=[(99.9, 1.0)])
    reloaded, withheld = (
        Counted("nt_cold_starts_total", reason="gap"),
        Counted("nt_reports_withheld_total", reason="book"),
    )
    run(one)
    assert report(redis_client)["best_bid"]["price"] == 99.9
    assert reloaded() == 1
    assert withheld() == 0


def test_streams_that_were_lost_are_read_again_from_their_beginning(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    one = node()
    run(one)
    token = report(redis_client)["writer"]["writerToken"]
    while market.now_ms() <= int(lease(redis_client)["seq"]):
        pass
    redis_client.flushall()
    redis_client.script_flush()
    market.diff(lost=7)
    run(one)
    assert report(redis_client) is None
    market.snapshot()
    market.diff()
    run(one)
    assert report(redis_client)["writer"]["writerToken"] > token


@pytest.mark.parametrize("key", [KEYS.book(S), KEYS.trades(S)])
def test_an_entry_that_cannot_be_read_stops_no_other_symbol(
    node: MakeNode, market: Market, redis_client: redis.Redis, key: str
) -> None:
    Market(redis_client, "ETHUSDT").open()
    one, withheld = node(), Counted("nt_reports_withheld_total", reason="bad entry")
    redis_client.xadd(key, {"rubbish": "x"})
    run(one, S, "ETHUSDT")
    assert report(redis_client) is None
    assert report(redis_client, "ETHUSDT")
    assert withheld() >= 1
    redis_client.delete(key)
    market.snapshot()
    run(one)
    assert report(redis_client)


def test_a_key_of_another_type_stops_no_other_symbol(node: MakeNode, redis_client: redis.Redis) -> None:
    Market(redis_client, "ETHUSDT").open()
    redis_client.set(KEYS.trades(S), "not a stream")
    one = node()
    run(one, S, "ETHUSDT")
    assert report(redis_client) is None
    assert report(redis_client, "ETHUSDT")


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("late", lambda sent: sent._replace(sent_ms=sent.sent_ms - PERIOD_MS - 1)),
        ("old term", lambda sent: sent._replace(term=1)),
        ("other owner", lambda sent: sent._replace(owner="node-001/another")),
    ],
)
def test_a_dispatch_that_is_not_for_this_node_or_too_late_is_dropped_and_counted(
    node: MakeNode, redis_client: redis.Redis, reason: str, change: Callable[[Dispatch], Dispatch]
) -> None:
    one = node()
    run(one, term=2)
    before = lease(redis_client)
    dropped = Counted("nt_ticks_dropped_total", cycle="fast", reason=reason)
    sent = dispatch(one, term=2)
    run_cycle(one, FAST, [S], change(sent), PERIOD_MS)
    assert dropped() == 1
    assert lease(redis_client) == before


@pytest.mark.usefixtures("market")
def test_alone_a_node_writes_without_a_lease_and_its_token_is_1(node: MakeNode, redis_client: redis.Redis) -> None:
    one = node(NT_ENABLE_MULTI_INSTANCE="false")
    run(one)
    assert report(redis_client)["writer"] == {"nodeId": "node-001", "writerToken": 1}
    assert 0 < redis_client.pttl(KEYS.report(S)) <= 300_000
    run(one, cycle=SLOW)
    assert redis_client.exists(KEYS.slow(S), KEYS.lease(S)) == 1
    one.release()
    assert redis_client.exists(KEYS.lease(S)) == 0


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize("ahead_ms", [3_600_000, -3_600_000])
def test_alone_a_node_learns_the_time_of_the_server(node: MakeNode, redis_client: redis.Redis, ahead_ms: int) -> None:
    one = node(NT_ENABLE_MULTI_INSTANCE="false")
    right = dispatch(one)
    moment = time.monotonic()
    one.clock.observe(moment, moment, one.clock.now_ms() + ahead_ms)  # its host's clock is an hour off
    run_cycle(one, FAST, (S,), right, PERIOD_MS)
    assert report(redis_client)["data_age_ms"] < PERIOD_MS


def test_slow_sections_are_fenced_and_the_next_owner_starts_with_them(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    for _ in range(12):
        market.trade()
    old, new = node("node-001"), node("node-002")
    run(old)
    assert "liquidity" not in report(redis_client)
    run(old, cycle=SLOW)
    sections = redis_client.get(KEYS.slow(S))
    assert json.loads(sections)["liquidity"]["volume_profile"]["trade_count"] == 13
    run(old)
    held = lease(redis_client)
    assert int(held["seq"]) == int(held["token"]) + 3
    assert report(redis_client)["liquidity"]["volume_profile"]["trade_count"] == 13

    run(new, generation=2)
    assert report(redis_client)["writer"]["nodeId"] == "node-002"
    assert report(redis_client)["liquidity"]["volume_profile"]["trade_count"] == 13
    run(old, cycle=SLOW, generation=1)
    assert redis_client.get(KEYS.slow(S)) == sections


def test_a_changed_tick_size_takes_effect_with_the_next_slow_cycle_of_every_node(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    for number in range(20):
        market.trade(f"100.{number:02d}")
    old, new = node("node-001"), node("node-002")
    run(old)
    run(old, cycle=SLOW)
    market.rules("0.001", "halted")
    profiles = []
    for generation, one in enumerate((old, new), 1):
        run(one, cycle=SLOW, generation=generation)
        profiles.append(json.loads(redis_client.get(KEYS.slow(S)))["liquidity"]["volume_profile"])
        assert one.symbols[S].warm.state.trading == "halted"
    assert profiles[0] == profiles[1]
    assert profiles[0]["POC"] == 100.0025
    market.rules("")
    run(new, cycle=SLOW, generation=2)
    assert "volume_profile" not in json.loads(redis_client.get(KEYS.slow(S)))["liquidity"]


@pytest.mark.usefixtures("market")
def test_symbols_that_have_been_elsewhere_for_a_while_are_forgotten(node: MakeNode, redis_client: redis.Redis) -> None:
    Market(redis_client, "ETHUSDT").open()
    one = node()
    run(one, S, "ETHUSDT")
    now = time.monotonic()
    one.symbols[S].lease.held_at = now + 10  # its last write
    one.forget_old(now + 29)
    assert set(one.symbols) == {S, "ETHUSDT"}
    one.forget_old(now + 31)
    assert set(one.symbols) == {S}


@pytest.mark.usefixtures("market")
def test_more_symbols_than_one_command_takes_are_all_written(node: MakeNode, redis_client: redis.Redis) -> None:
    one, symbols = node(), [f"S{number}USDT" for number in range(70)]
    for symbol in symbols:
        Market(redis_client, symbol).open()
    run(one, *symbols)
    run(one, *symbols)
    assert all(report(redis_client, symbol)["symbol"] == symbol for symbol in symbols)
    assert all(
        int(held["seq"]) == int(held["token"]) + 2 for held in (lease(redis_client, symbol) for symbol in symbols)
    )
