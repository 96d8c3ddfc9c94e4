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
from tests.tasks.cycle_runs import PERIOD_MS, Counted, MakeNode, S, lease, report, run, tick
from tests.tasks.market import Market
from tickfence.coordination.dispatch import Dispatch
from tickfence.coordination.keys import lease_key, report_key, slow_key
from tickfence.streams.keys import book_key, snapshot_key, trades_key


def test_a_report_is_written_under_the_lease_it_took(node: MakeNode, market: Market, redis_client: redis.Redis) -> None:
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
    assert 0 < redis_client.pttl(report_key(S)) <= 300_000
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


def test_without_a_snapshot_nothing_is_written_until_there_is_one(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    redis_client.delete(snapshot_key(S))
    one, withheld = node(), Counted("nt_reports_withheld_total", reason="no snapshot")
    run(one)
    assert report(redis_client) is None
    assert withheld() == 1
    market.snapshot()
    run(one)
    assert report(redis_client)["best_bid"]["price"] == 99.0


def test_after_a_gap_nothing_is_written_until_a_snapshot_connects(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    one = node()
    run(one)
    before = report(redis_client)
    market.diff(bids=[(99.9, 1.0)], lost=3)
    for _ in range(2):
        run(one)
        assert report(redis_client) == before
    market.snapshot(bids=[(99.9, 1.0), (97.0, 1.0)])
    market.diff(bids=[(99.7, 2.0)])
    run(one)
    after = report(redis_client)
    assert [level["price"] for level in after["depth"]["bids"]] == [99.9, 99.7, 97.0]
    assert after["writer"] == before["writer"]


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


def test_a_book_whose_updates_are_counted_anew_is_loaded_again(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    one = node()
    run(one)
    run(one, cycle=SLOW)
    market.update_id = 1  # the exchange started over: lower ids, a while later
    redis_client.delete(snapshot_key(S), book_key(S))  # as ingest does then
    market.diff(bids=[(99.7, 5.0)], ahead_ms=10_000)
    run(one)
    assert report(redis_client)["best_bid"] == {"price": 99.5, "qty": 12.0}, "nothing is written of a book in doubt"
    market.snapshot(bids=[(99.7, 5.0)])
    for taker in (one, node("node-002")):
        run(taker, generation=1 if taker is one else 2)
        assert report(redis_client)["best_bid"] == {"price": 99.7, "qty": 5.0}
        market.diff(bids=[(99.7, 6.0)], ahead_ms=10_000)
        run(taker, generation=1 if taker is one else 2)
        assert report(redis_client)["best_bid"] == {"price": 99.7, "qty": 6.0}
        assert taker.symbols[S].state.observed_update_id == market.update_id, "windows go on, too"
        market.diff(bids=[(99.7, 5.0)], ahead_ms=10_000)


def test_trades_are_not_counted_twice_when_the_book_is_loaded_again(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    one = node()
    run(one)
    market.trade()
    run(one)
    assert report(redis_client)["flow"]["net_flow"] == 1.0
    market.trade()
    market.diff(lost=1)
    market.snapshot()
    run(one)
    assert report(redis_client)["flow"]["net_flow"] == 1.5


def test_a_crossed_book_is_withheld_and_a_right_one_is_found_again(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    one = node()
    run(one)
    before = report(redis_client)
    market.diff(bids=[(101.5, 1.0)])
    run(one)
    assert report(redis_client) == before
    market.snapshot(bids=[(99.9, 1.0)])  # as ingest does once it has the right book again
    market.diff(bids=[(99.8, 1.0)])
    run(one)
    run(one)
    assert report(redis_client)["best_bid"]["price"] == 99.9


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


@pytest.mark.parametrize("key", [book_key(S), trades_key(S)])
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
    redis_client.set(trades_key(S), "not a stream")
    one = node()
    run(one, S, "ETHUSDT")
    assert report(redis_client) is None
    assert report(redis_client, "ETHUSDT")


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("late", lambda due: due._replace(due_ms=due.due_ms - PERIOD_MS - 1)),
        ("old term", lambda due: due._replace(term=1)),
        ("other owner", lambda due: due._replace(owner="node-001/another")),
    ],
)
def test_a_tick_that_is_not_for_us_or_not_for_now_is_dropped_and_counted(
    node: MakeNode, redis_client: redis.Redis, reason: str, change: Callable[[Dispatch], Dispatch]
) -> None:
    one = node()
    run(one, term=2)
    before = lease(redis_client)
    dropped = Counted("nt_ticks_dropped_total", cycle="fast", reason=reason)
    due = tick(one, term=2)
    run_cycle(one, FAST, [S], change(due), PERIOD_MS)
    assert dropped() == 1
    assert lease(redis_client) == before


@pytest.mark.usefixtures("market")
def test_alone_a_node_writes_without_a_lease_and_its_token_is_1(node: MakeNode, redis_client: redis.Redis) -> None:
    one = node(NT_ENABLE_MULTI_INSTANCE="false")
    run(one)
    assert report(redis_client)["writer"] == {"nodeId": "node-001", "writerToken": 1}
    assert 0 < redis_client.pttl(report_key(S)) <= 300_000
    run(one, cycle=SLOW)
    assert redis_client.exists(slow_key(S), lease_key(S)) == 1
    one.release()
    assert redis_client.exists(lease_key(S)) == 0


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize("ahead_ms", [3_600_000, -3_600_000])
def test_alone_a_node_learns_the_time_of_the_server(node: MakeNode, redis_client: redis.Redis, ahead_ms: int) -> None:
    one = node(NT_ENABLE_MULTI_INSTANCE="false")
    right = tick(one)
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
    sections = redis_client.get(slow_key(S))
    assert json.loads(sections)["liquidity"]["volume_profile"]["trade_count"] == 13
    run(old)
    held = lease(redis_client)
    assert int(held["seq"]) == int(held["token"]) + 3
    assert report(redis_client)["liquidity"]["volume_profile"]["trade_count"] == 13

    run(new, generation=2)
    assert report(redis_client)["writer"]["nodeId"] == "node-002"
    assert report(redis_client)["liquidity"]["volume_profile"]["trade_count"] == 13
    run(old, cycle=SLOW, generation=1)
    assert redis_client.get(slow_key(S)) == sections


@pytest.mark.usefixtures("market")
def test_symbols_that_have_been_elsewhere_for_a_while_are_forgotten(node: MakeNode, redis_client: redis.Redis) -> None:
    Market(redis_client, "ETHUSDT").open()
    one = node()
    run(one, S, "ETHUSDT")
    one.symbols["ETHUSDT"].granted_at -= 31
    one.forget_old()
    assert set(one.symbols) == {S, "ETHUSDT"}  # it looks only now and then
    one._forgot -= 31
    one.forget_old()
    assert set(one.symbols) == {S}


@pytest.mark.usefixtures("market")
def test_more_symbols_than_one_command_takes_are_all_written(node: MakeNode, redis_client: redis.Redis) -> None:
    one, symbols = node(), [f"S{number}USDT" for number in range(70)]
    for symbol in symbols:
        Market(redis_client, symbol).open()
    run(one, *symbols)
    run(one, *symbols)
    assert all(report(redis_client, symbol)["symbol"] == symbol for symbol in symbols)
    assert [one.symbols[symbol].seq - one.symbols[symbol].token for symbol in symbols] == [2] * 70
