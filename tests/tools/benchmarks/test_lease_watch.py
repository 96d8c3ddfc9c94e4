"""Watching reports and leases on a real cluster, through a failover."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.processes import wait_until
from tickfence.keys import Keys
from tickfence.redis_access.command import Command
from tools.benchmarks.lease_watch import LeaseWatch
from tools.benchmarks.redis_cluster import RedisCluster
from tools.benchmarks.slot_routing import Addressed, SlotRouting

KEYS, SYMBOLS = Keys(), [f"T{number:05}USD" for number in range(30)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster(node_timeout_ms=1000) as found:
        yield found


@pytest.fixture
def routing(cluster: RedisCluster) -> Iterator[SlotRouting]:
    found = SlotRouting(cluster.ports)
    yield found
    found.close()


def call(routing: SlotRouting, *commands: Command) -> list[object]:
    return routing.call([Addressed.of(command) for command in commands])


def put_report(routing: SlotRouting, symbol: str, at_ms: int, token: int) -> None:
    writer = {"nodeId": "node-001", "writerToken": token}
    report = {"schemaVersion": "2.0", "writer": writer, "updatedAt": at_ms, "symbol": symbol}
    text = json.dumps(report, separators=(",", ":"))
    assert call(routing, ("SET", KEYS.report(symbol), text)) == [b"OK"]


def put_lease(routing: SlotRouting, symbol: str, token: int) -> None:
    assert not isinstance(call(routing, ("HSET", KEYS.lease(symbol), "token", token))[0], Exception)


def test_each_report_is_seen_once_and_a_token_that_falls_is_told(cluster: RedisCluster, routing: SlotRouting) -> None:
    old, new = SYMBOLS[:2]
    with LeaseWatch(cluster.ports, SYMBOLS) as watch:
        # A lease is taken before the first report under its token: that is no fall.
        put_report(routing, old, 1000, token=7)
        put_lease(routing, old, 8)
        wait_until(lambda: watch.passes >= 2 and watch.seen[old], "the first report")
        put_report(routing, old, 2000, token=8)
        wait_until(lambda: len(watch.seen[old]) == 2, "the second report")
        assert [(one.at_ms, one.token, one.node) for one in watch.seen[old]] == [
            (1000, 7, "node-001"),
            (2000, 8, "node-001"),
        ]
        assert watch.falls == [] and not watch.seen[new]
        put_lease(routing, old, 6)
        wait_until(lambda: watch.falls, "the fall of a lease's token")
        assert {(fall.symbol, fall.of, fall.before, fall.now) for fall in watch.falls} == {(old, "lease", 8, 6)}


def test_commands_find_the_master_that_takes_over(cluster: RedisCluster, routing: SlotRouting) -> None:
    commands = [("SET", KEYS.report(symbol), symbol) for symbol in SYMBOLS]
    assert call(routing, *commands) == [b"OK"] * len(SYMBOLS)
    victim = cluster.first_master_of(KEYS.report(SYMBOLS[0]))
    there = [cluster.first_master_of(KEYS.report(symbol)) is victim for symbol in SYMBOLS]
    assert any(there) and not all(there)
    victim.kill()
    assert [isinstance(reply, Exception) for reply in call(routing, *commands)] == there
    wait_until(lambda: call(routing, *commands) == [b"OK"] * len(SYMBOLS), "a replica to take over", 20)
