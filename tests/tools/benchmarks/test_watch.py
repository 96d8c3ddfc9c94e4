"""Reports are seen whoever writes them, against a real Redis."""

from __future__ import annotations

import time

import pytest

from tickfence.keys import Keys
from tools.benchmarks.peers.watch import Watcher
from tools.local.embedded_redis import EmbeddedRedis


def seen(watcher: Watcher, wanted: dict[str, int]) -> dict[str, list[float]]:
    deadline = time.monotonic() + 10
    while True:
        found = watcher.written()
        if {symbol: len(times) for symbol, times in found.items()} == wanted or time.monotonic() > deadline:
            return found
        time.sleep(0.01)


def test_it_sees_reports_and_nothing_else() -> None:
    with EmbeddedRedis() as server, server.client() as client, Watcher(server.port, Keys()) as watcher:
        before = time.monotonic()
        client.set("slow:{report:BTCUSDT}", b"x")
        client.set("report:BTCUSDT", b"x", px=1000)
        client.eval("redis.call('SET', KEYS[1], 'x')", 1, "report:ETHUSDT")
        client.delete("report:ETHUSDT")
        client.set("report:BTCUSDT", b"y")
        found = seen(watcher, {"BTCUSDT": 2, "ETHUSDT": 1})
        assert {symbol: len(times) for symbol, times in found.items()} == {"BTCUSDT": 2, "ETHUSDT": 1}
        assert all(before <= one <= time.monotonic() for times in found.values() for one in times)
        assert watcher.written(time.monotonic() + 1) == {"BTCUSDT": [], "ETHUSDT": []}


def test_it_ends_with_redis_and_can_be_closed_then() -> None:
    with EmbeddedRedis() as server:
        watcher = Watcher(server.port, Keys())
        server.kill()
        watcher.close()
        assert watcher.written() == {}
        with pytest.raises(ConnectionError):
            Watcher(server.port, Keys())
