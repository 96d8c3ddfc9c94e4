"""Watching reports and leases on a real cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.processes import wait_until
from tickfence.keys import Keys
from tickfence.redis_access.connect import connect
from tools.benchmarks.lease_watch import LeaseWatch
from tools.benchmarks.redis_cluster import RedisCluster

KEYS, SYMBOLS = Keys(), [f"T{number:05}USD" for number in range(30)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster(node_timeout_ms=1000) as found:
        yield found


@pytest.fixture
def client(cluster: RedisCluster) -> Iterator[Any]:
    with connect(cluster.url, name="test") as found:
        yield found


def put_report(client: Any, symbol: str, at_ms: int, token: int) -> None:
    writer = {"nodeId": "node-001", "writerToken": token}
    report = {"schemaVersion": "2.0", "writer": writer, "updatedAt": at_ms, "symbol": symbol}
    text = json.dumps(report, separators=(",", ":"))
    client.set(KEYS.report(symbol), text)


def put_lease(client: Any, symbol: str, token: int) -> None:
    client.hset(KEYS.lease(symbol), "token", token)


def test_each_report_is_seen_once_and_a_token_that_falls_is_told(cluster: RedisCluster, client: Any) -> None:
    old, new = SYMBOLS[:2]
    with LeaseWatch(cluster.url, SYMBOLS) as watch:
        # A lease is taken before the first report under its token: that is no fall.
        put_report(client, old, 1000, token=7)
        put_lease(client, old, 8)
        wait_until(lambda: watch.passes >= 2 and watch.seen[old], "the first report")
        put_report(client, old, 2000, token=8)
        wait_until(lambda: len(watch.seen[old]) == 2, "the second report")
        assert [(one.at_ms, one.token, one.node) for one in watch.seen[old]] == [
            (1000, 7, "node-001"),
            (2000, 8, "node-001"),
        ]
        assert watch.falls == [] and not watch.seen[new]
        put_lease(client, old, 6)
        wait_until(lambda: watch.falls, "the fall of a lease's token")
        assert {(fall.symbol, fall.of, fall.before, fall.now) for fall in watch.falls} == {(old, "lease", 8, 6)}
