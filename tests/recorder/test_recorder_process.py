"""Two real recorders on a real Redis, one of which is killed and frozen: what was in the streams is in the files once."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import redis

from tests.processes import wait_until
from tests.role_process import RoleProcess
from tickfence.keys import Keys
from tickfence.recordings import layout
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()
SYMBOLS = ("AAUSDT", "BBUSDT", "CCUSDT", "DDUSDT")
QUICK = {
    "SYMBOLS": ",".join(SYMBOLS),
    "NT_METRICS_PORT": 0,
    "NT_HEARTBEAT_INTERVAL_MS": 100,
    "NT_HEARTBEAT_TTL_MS": 400,
    "NT_LEASE_TTL_MS": 500,
}


class Market:
    """Writes a trade and a diff of each symbol every few milliseconds, from its own thread; diffs live 15 s."""

    def __init__(self, client: redis.Redis) -> None:
        self.written: set[tuple[str, str, int]] = set()
        self._client = client
        self._number = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Market:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.01):
            self._number += 1
            now_ms, number = int(time.time() * 1000), self._number
            for symbol in SYMBOLS:
                trade: dict[Any, Any] = {"p": "1.5", "q": "2", "s": "b", "r": now_ms}
                diff: dict[Any, Any] = {"U": number, "b": "[[1.5,2]]", "a": "[]", "r": now_ms, "t": "0"}
                self._client.xadd(KEYS.trades(symbol), trade, id=f"{now_ms}-{number}")
                self._client.xadd(KEYS.book(symbol), diff, id=f"{now_ms}-{number}")
                self.written |= {("trades", symbol, number), ("diffs", symbol, number)}


class Recorders:
    """Recorders by name, all with one folder of files."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder
        self.running: dict[str, RoleProcess] = {}

    def start(self, name: str) -> None:
        """Start one; it ends with the test."""
        self.running[name] = self._process(name, self._folder / name).__enter__()

    def _process(self, name: str, log: Path) -> RoleProcess:
        settings = {"NT_NAME": name, "NT_RECORDER_WAL": log, "NT_RECORDINGS": self._folder / "recordings"}
        return RoleProcess("tickfence.recorder", REDIS_URL=self._url, **QUICK, **settings)

    def rows(self) -> Counter[tuple[str, str, int]]:
        """What an independent reader finds in the files that count."""
        root = self._folder / "recordings"
        found = [str(path.relative_to(root)) for path in root.rglob("*.parquet*")]
        rows: Counter[tuple[str, str, int]] = Counter()
        for file in layout.counted(filter(None, map(layout.parse, found))):
            if file.kind in ("trades", "diffs"):
                column = "trade_id" if file.kind == "trades" else "last_update_id"
                table = pq.read_table(root / file.path, columns=["symbol", column], partitioning=None)
                rows.update((str(file.kind), row["symbol"], row[column]) for row in table.to_pylist())
        return rows


@pytest.fixture
def recorders(redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Recorders]:
    started = Recorders(redis_server.url(), tmp_path)
    yield started
    for process in started.running.values():
        process.__exit__(None, None, None)


def owners(client: redis.Redis) -> set[str]:
    found: list[Any] = [client.hget(KEYS.recording(symbol), "owner") for symbol in SYMBOLS]
    return {owner.decode() if owner else "" for owner in found}


def test_kills_and_a_pause_lose_nothing_and_write_nothing_twice(
    redis_client: redis.Redis, recorders: Recorders
) -> None:
    with Market(redis_client) as market:
        for name in ("recorder-1", "recorder-2"):
            recorders.start(name)
        both = {"recorder-1", "recorder-2"}
        wait_until(lambda: owners(redis_client) == both, "both record", timeout_s=15)
        recorders.running["recorder-1"].stop(signal.SIGKILL)
        wait_until(lambda: owners(redis_client) == {"recorder-2"}, "the other takes over", timeout_s=15)
        recorders.start("recorder-1")
        wait_until(lambda: owners(redis_client) == both, "it comes back", timeout_s=15)
        frozen = recorders.running["recorder-2"].process
        frozen.send_signal(signal.SIGSTOP)
        wait_until(lambda: owners(redis_client) == {"recorder-1"}, "the other takes over", timeout_s=15)
        frozen.send_signal(signal.SIGCONT)
        wait_until(lambda: owners(redis_client) == both, "it wakes", timeout_s=15)
    last = max(number for _, _, number in market.written)
    noted = [(KEYS.recording(symbol), f"at:{kind}") for symbol in SYMBOLS for kind in ("trades", "diffs")]

    def all_noted() -> bool:
        positions: list[Any] = [redis_client.hget(*one) for one in noted]
        return all(at and at.endswith(b"-%d" % last) for at in positions)

    wait_until(all_noted, "the last entries are recorded", timeout_s=15)
    assert [process.stop() for process in recorders.running.values()] == [0, 0]
    rows = recorders.rows()
    assert {row: times for row, times in rows.items() if times > 1} == {}
    assert set(rows) == market.written
    assert owners(redis_client) == {""}
