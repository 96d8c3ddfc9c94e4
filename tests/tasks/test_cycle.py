"""Cycles of real nodes against a real Redis: what is written, what is withheld, and whose write counts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from coordination import events
from coordination.keys import carry_key, lease_key, report_key, slow_key
from coordination.owner import Owner
from coordination.tick import ALONE, Tick
from local.embedded_redis import EmbeddedRedis
from monitoring import node_metrics
from settings import Settings
from streams.keys import book_key, snapshot_key, trades_key
from tasks import cycles
from tasks.cycles import FAST, SLOW, run_cycle
from tasks.node import Node
from tasks.warm_symbol import WarmSymbol
from tests.processes import wait_until
from tests.tasks.market import Market

S = "BTCUSDT"
PERIOD_MS = 60_000  # so that no tick is late on a slow machine

MakeNode = Callable[..., Node]


@pytest.fixture
def node(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> MakeNode:
    """Makes nodes whose clock has seen the server."""

    def make(name: str = "node-001", **variables: str) -> Node:
        made = Node(
            Settings.from_environment({"REDIS_URL": redis_server.url(), "NT_LEASE_TTL_MS": "600000"} | variables), name
        )
        sent = time.monotonic()
        seconds, microseconds = redis_client.time()
        made.clock.observe(sent, time.monotonic(), seconds * 1000 + microseconds / 1000)
        return made

    return make


@pytest.fixture
def market(redis_client: redis.Redis) -> Market:
    one = Market(redis_client, S)
    one.open()
    return one


def tick(node: Node, generation: int = 1, term: int = 1, age_ms: int = 0) -> Tick:
    owner = node.owner if node.fenced else Owner(ALONE, ALONE)
    return Tick(str(owner), generation, term, node.clock.now_ms() - age_ms)


def run(node: Node, *symbols: str, cycle: cycles.Cycle = FAST, **of_tick: int) -> None:
    run_cycle(node, cycle, symbols or (S,), tick(node, **of_tick), PERIOD_MS)


def report(client: redis.Redis, symbol: str = S) -> Any:
    text = client.get(report_key(symbol))
    return text and json.loads(text)


def lease(client: redis.Redis, symbol: str = S) -> dict[str, str]:
    return {k.decode(): v.decode() for k, v in client.hgetall(lease_key(symbol)).items()}


class Counted:
    """How much a metric grows."""

    def __init__(self, name: str, **labels: str) -> None:
        self.name, self.labels = name, labels
        self.before = self.value()

    def value(self) -> float:
        return node_metrics.registry.get_sample_value(self.name, self.labels) or 0.0

    def __call__(self) -> float:
        return self.value() - self.before


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


def test_a_newer_generation_takes_over_and_a_late_write_of_the_old_owner_is_refused(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    """The old owner is paused where it hurts: between computing a report and writing it."""
    old, new = node("node-001"), node("node-002")
    run(old, generation=1)
    market.diff(bids=[(99.6, 1.0)])
    warm = [old.symbols[S]]
    assert cycles._read(old, warm, 1) == (warm, set(), None)  # its last write renewed the lease
    values = cycles._compute(old, FAST, warm[0])
    assert values

    market.diff(bids=[(99.7, 1.0)])
    run(new, generation=2)
    taken = report(redis_client)
    assert taken["writer"]["nodeId"] == "node-002"
    assert taken["writer"]["writerToken"] > warm[0].token

    assert cycles._write(old, FAST, [(warm[0], values)], 1) == warm
    assert report(redis_client) == taken

    conflicts, refused = Counted("nt_lease_conflicts_total"), Counted("nt_lease_refused_total")
    run(old, generation=1)
    assert report(redis_client) == taken
    assert (conflicts(), refused()) == (0, 1)
    assert S not in old.symbols
    assert old.assigned() == 0

    run(old, generation=3)
    assert report(redis_client)["writer"]["nodeId"] == "node-001"
    assert report(redis_client)["best_bid"]["price"] == 99.7


@pytest.mark.usefixtures("market")
def test_two_owners_in_one_generation_are_a_conflict_and_the_holder_goes_on(
    node: MakeNode, redis_client: redis.Redis
) -> None:
    first, second = node("node-001"), node("node-001")
    run(first)
    conflicts = Counted("nt_lease_conflicts_total")
    before = report(redis_client)
    run(second)
    assert report(redis_client) == before
    assert conflicts() == 1
    [told] = wait_until(lambda: events.read(redis_client), "its event")
    assert (told.kind, told.fields) == ("conflict", {"symbol": S, "node": "node-001", "holder": "node-001"})
    run(first)
    assert report(redis_client)["writer"] == before["writer"]


@pytest.mark.usefixtures("market")
def test_released_leases_are_free_at_once(node: MakeNode, redis_client: redis.Redis) -> None:
    first, second = node("node-001"), node("node-002")
    run(first)
    first.release()
    assert lease(redis_client)["owner"] == ""
    conflicts = Counted("nt_lease_conflicts_total")
    run(second)
    assert report(redis_client)["writer"]["nodeId"] == "node-002"
    assert conflicts() == 0
    first.release()
    assert lease(redis_client)["owner"] == str(second.owner)


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
    node: MakeNode, redis_client: redis.Redis, reason: str, change: Callable[[Tick], Tick]
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
def test_a_lease_key_of_another_type_stops_no_other_symbol(node: MakeNode, redis_client: redis.Redis) -> None:
    Market(redis_client, "ETHUSDT").open()
    redis_client.sadd(lease_key(S), "not a lease")
    one, withheld = node(), Counted("nt_reports_withheld_total", reason="bad lease")
    run(one, S, "ETHUSDT")
    assert report(redis_client) is None
    assert report(redis_client, "ETHUSDT")
    assert withheld() == 1


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


def test_while_redis_is_away_a_cycle_is_lost_and_the_next_one_after_is_not(
    own_redis_server: Callable[..., EmbeddedRedis],
) -> None:
    server = own_redis_server()
    one = Node(Settings.from_environment({"REDIS_URL": server.url()}), "node-001")
    with server.client() as client:
        Market(client, S).open()
    run(one)
    failed = Counted("nt_redis_errors_total", operation="cycle")
    server.stop(save=True)
    run(one)
    assert failed() == 1
    server.start()
    run(one)
    assert failed() == 1
    with server.client() as client:
        held = lease(client)
        assert int(held["seq"]) == int(held["token"]) + 2
        assert report(client)["writer"]["writerToken"] == int(held["token"])


@pytest.mark.parametrize("in_step", [True, False])
def test_a_master_that_became_a_replica_is_an_outage_and_left(
    own_redis_server: Callable[..., EmbeddedRedis], caplog: pytest.LogCaptureFixture, in_step: bool
) -> None:
    """In step with a new master that has nothing, or, while that cannot be reached, with all its data still."""
    server, other = own_redis_server(), own_redis_server()
    one = Node(Settings.from_environment({"REDIS_URL": server.url()}), "node-001")
    with server.client() as client:
        Market(client, S).open()
        run(one)
        failed = Counted("nt_redis_errors_total", operation="cycle")
        withheld = Counted("nt_reports_withheld_total", reason="bad lease")
        if not in_step:
            other.kill()
        client.replicaof("127.0.0.1", other.port)
        link = "up" if in_step else "down"
        wait_until(lambda: client.info("replication")["master_link_status"] == link, "the replica's link")
        caplog.clear()
        for number in range(1, 4):
            run(one)
            assert failed() == number
            wait_until(lambda: not _clients(client, "work:node-001"), "the connection's end")
        assert withheld() == 0
        assert [record.levelname for record in caplog.records].count("WARNING") == 1
        assert "cannot reach the data plane" in caplog.text
        assert "ERROR" not in [record.levelname for record in caplog.records]
        client.replicaof("NO", "ONE")
        Market(client, S).open()
        client.delete(report_key(S))
        run(one)
        run(one)
        assert report(client)["writer"]["writerToken"] == int(lease(client)["token"])
        assert failed() == 3


def _clients(client: redis.Redis, name: str) -> list[Any]:
    return [one for one in client.client_list() if one["name"] == name]


@pytest.mark.usefixtures("market")
def test_a_write_whose_reply_was_lost_is_sent_again_and_counts_once(node: MakeNode, redis_client: redis.Redis) -> None:
    one = node()
    run(one)
    warm = one.symbols[S]
    cycles._read(one, [warm], 1)
    values = cycles._compute(one, FAST, warm)
    seq = warm.seq
    assert cycles._write(one, FAST, [(warm, values)], 1) == []
    warm.seq = seq  # as if its reply had been lost
    assert cycles._write(one, FAST, [(warm, values)], 1) == []
    assert warm.seq == seq + 1 == int(lease(redis_client)["seq"])


def test_an_accepted_write_stands_for_the_next_acquire(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    one = node()
    run(one)
    first = lease(redis_client)
    redis_client.hset(lease_key(S), "until", 1)
    redis_client.config_resetstat()
    market.diff(bids=[(99.6, 1.0)])
    run(one)
    run(one, cycle=SLOW)
    assert redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] == 2  # the writes
    renewed = lease(redis_client)
    assert (renewed["token"], int(renewed["seq"])) == (first["token"], int(first["seq"]) + 2)
    assert int(renewed["until"]) >= int(first["until"])
    assert one.assigned() == 1

    run(one, generation=2)
    assert redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] == 4  # a newer assignment: it asks


def test_a_cycle_without_a_write_makes_the_next_one_ask(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    one = node()
    run(one)
    redis_client.delete(snapshot_key(S))
    market.diff(bids=[(99.6, 1.0)], lost=1)
    redis_client.config_resetstat()
    run(one)  # a gap and no snapshot
    run(one)
    assert redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] == 2
    assert one.assigned() == 1


@pytest.mark.usefixtures("market")
def test_a_lease_that_redis_has_lost_costs_no_report(node: MakeNode, redis_client: redis.Redis) -> None:
    one = node()
    run(one)
    fenced, observed = Counted("nt_writes_fenced_total"), _observed()
    redis_client.delete(lease_key(S), report_key(S))
    run(one)
    assert report(redis_client)["writer"]["writerToken"] == int(lease(redis_client)["token"])
    assert fenced() == 0
    assert [count() for count in observed] == [1, 1]


@pytest.mark.usefixtures("market")
def test_a_symbol_that_moved_on_is_no_news_and_a_report_refused_is_not_observed(
    node: MakeNode, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    old, new = node("node-001"), node("node-002")
    run(old, generation=1)
    run(new, generation=2)
    fenced, refused, observed = Counted("nt_writes_fenced_total"), Counted("nt_lease_refused_total"), _observed()
    run(old, generation=1)
    assert (fenced(), refused()) == (0, 1)
    assert "write refused" not in caplog.text
    assert [count() for count in observed] == [0, 0]
    assert report(redis_client)["writer"]["nodeId"] == "node-002"


@pytest.mark.usefixtures("market")
def test_a_write_refused_though_its_lease_was_just_granted_is_counted_and_logged(
    node: MakeNode, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    old, new = node("node-001"), node("node-002")
    fenced = Counted("nt_writes_fenced_total")
    run(old, generation=1, cycle=_before_write(FAST, lambda: run(new, generation=2)))
    assert fenced() == 1
    assert caplog.text.count("write refused") == 1
    assert report(redis_client)["writer"]["nodeId"] == "node-002"


def test_a_lease_asked_for_while_a_gap_was_bridged_was_asked_for(node: MakeNode, market: Market) -> None:
    old, new = node("node-001"), node("node-002")
    run(old, generation=1)
    market.diff(lost=3)
    market.diff()
    market.snapshot()
    fenced = Counted("nt_writes_fenced_total")
    run(old, generation=1, cycle=_before_write(FAST, lambda: run(new, generation=2)))
    assert fenced() == 1


def test_a_node_that_was_frozen_does_not_count_what_others_took(node: MakeNode, market: Market) -> None:
    old, new = node("node-001"), node("node-002")
    run(old, generation=1)
    assert old.assigned() == 1
    run(new, generation=2)
    old.symbols[S].granted_at -= 3600  # that long it was frozen
    market.diff(bids=[(101.5, 1.0)])
    run(old, generation=1)  # its lease is not asked for, and a crossed book is not written
    assert old.assigned() == 0


def _observed() -> list[Counted]:
    return [Counted("nt_dispatch_to_written_ms_count", cycle="fast"), Counted("nt_data_age_ms_count")]


@pytest.mark.usefixtures("market")
def test_what_a_new_owner_starts_with_is_written_again_if_its_write_was_refused(
    node: MakeNode, redis_client: redis.Redis
) -> None:
    one = node()
    run(one)
    redis_client.delete(lease_key(S))
    run(one, cycle=SLOW)
    assert redis_client.exists(slow_key(S), carry_key(S)) == 2
    redis_client.delete(carry_key(S))
    run(one, cycle=SLOW)
    assert not redis_client.exists(carry_key(S)), "it is fresh"


def test_what_a_new_owner_starts_with_is_written_again_if_its_write_failed(
    own_redis_server: Callable[..., EmbeddedRedis],
) -> None:
    server = own_redis_server()
    one = Node(Settings.from_environment({"REDIS_URL": server.url()}), "node-001")
    with server.client() as client:
        Market(client, S).open()
    run(one)
    run(one, cycle=_before_write(SLOW, lambda: server.stop(save=True)))
    server.start()
    run(one, cycle=SLOW)
    with server.client() as client:
        assert client.exists(slow_key(S), carry_key(S)) == 2


def test_the_number_of_a_write_whose_outcome_is_unknown_is_not_used_again(
    own_redis_server: Callable[..., EmbeddedRedis],
) -> None:
    """Both tries fail, and Redis may yet find them in its sockets."""
    server = own_redis_server()
    one = Node(Settings.from_environment({"REDIS_URL": server.url()}), "node-001")
    with server.client() as client:
        Market(client, S).open()
    run(one)
    seq = one.symbols[S].seq
    run(one, cycle=_before_write(FAST, lambda: server.stop(save=True)))
    server.start()
    run(one)
    assert one.symbols[S].seq == seq + 2
    with server.client() as client:
        assert int(lease(client)["seq"]) == seq + 2


def _before_write(cycle: cycles.Cycle, happens: Callable[[], object]) -> cycles.Cycle:
    """``cycle``, but something happens between computing and writing."""

    def compute(node: Node, warm: WarmSymbol, now_ms: int) -> cycles.Values:
        values = cycle.compute(node, warm, now_ms)
        happens()
        return values

    return cycle._replace(compute=compute)


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


@pytest.mark.usefixtures("market")
def test_a_lease_key_of_another_type_under_a_warm_symbol_stops_that_symbol_only(
    node: MakeNode, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    Market(redis_client, "ETHUSDT").open()
    one = node()
    run(one, S, "ETHUSDT")
    redis_client.delete(lease_key(S), report_key(S), report_key("ETHUSDT"))
    redis_client.set(lease_key(S), "not a hash")
    run(one, S, "ETHUSDT")
    assert report(redis_client) is None
    assert report(redis_client, "ETHUSDT")
    assert "no lease can be had" in caplog.text
