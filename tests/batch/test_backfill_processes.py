"""``celery -A tasks backfill`` with real batch workers, one of which is killed and one frozen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from pyarrow import parquet as pq

from tests.batch.recorded import BEGIN, record, reports_of
from tests.processes import wait_until
from tickfence.batch.job import Done
from tickfence.batch.partition import cut
from tickfence.batch.store import read_jobs, see
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.recordings.layout import HOUR_MS
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.roles import ROOT

KEYS = Keys()
SYMBOLS = ["BTCUSDT", "ETHUSDT", "okx:BTC-USDT"]


class Batch:
    """Batch workers and commands, on a Redis of their own."""

    def __init__(self, server: EmbeddedRedis, client: redis.Redis, folder: Path) -> None:
        self.server, self.client, self.folder = server, client, folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.source = record(folder / "recordings", SYMBOLS, hours=2)

    def run(self, name: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        settings = {
            "REDIS_URL": self.server.url(),
            "CELERY_BROKER_URL": self.server.url(1),
            "NT_RECORDINGS": self.source,
            "NT_METRICS_PORT": "0",
            "NT_HEARTBEAT_INTERVAL_MS": "50",
            "NT_HEARTBEAT_TTL_MS": "200",
        }
        plain = {key: value for key, value in os.environ.items() if not key.startswith("NT_")}
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "tasks", *arguments],
                cwd=ROOT,
                env=plain | settings | variables,
                stdout=subprocess.PIPE if arguments[0] == "backfill" else log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def worker(self, name: str, **variables: str) -> subprocess.Popen[bytes]:
        return self.run(name, "worker", "-Q", name, "--include", "tests.batch.stand_in", **variables)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def wait(self, condition: Callable[[], object], what: str) -> None:
        try:
            wait_until(condition, what, 30)
        except AssertionError as error:
            logs = [path.read_text() for path in sorted(self.folder.glob("*.log"))]
            raise AssertionError("\n".join([str(error), *logs])) from None

    def joined(self, *names: str) -> None:
        live = KEYS.batch_worker_group.live
        self.wait(lambda: all(self.client.zscore(live, name) for name in names), f"{names} to join")

    def holders(self) -> dict[str, str]:
        """Partition -> the worker that works on it."""
        jobs = read_jobs(self.client, KEYS)
        if not jobs:
            return {}
        seen = see(self.client, KEYS, jobs[0].id, [part.name for part in jobs[0].partitions])
        return {n: one.lease.holder for n, one in seen.items() if one.lease.holder and not isinstance(one.result, Done)}

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def batch(own_redis_server: Callable[..., EmbeddedRedis], tmp_path: Path) -> Iterator[Batch]:
    server = own_redis_server()
    with server.client() as client:
        one = Batch(server, client, tmp_path)
        yield one
        one.close()


def rows(folder: str) -> list[tuple[str, int, str]]:
    """Every report of a job's output, as a reader finds them."""
    files = sorted(Path(folder).glob("*.parquet"))
    return sorted(tuple(row.values()) for file in files for row in pq.read_table(file).to_pylist())


def test_each_partition_is_done_once_though_one_worker_is_killed_and_one_frozen(batch: Batch) -> None:
    slow = {"STAND_IN_PAUSE_S": "0.02"}
    killed, frozen = batch.worker("node-001.batch", **slow), batch.worker("node-002.batch", **slow)
    batch.worker("node-003.batch")
    batch.joined("node-001.batch", "node-002.batch")
    command = batch.run("command", "backfill", "--from", "2025-12-02T10:00", "--to", "2025-12-02T12:00", "--json")
    batch.wait(lambda: {"node-001.batch", "node-002.batch"} <= set(batch.holders().values()), "both to work")
    killed.send_signal(signal.SIGKILL)
    frozen.send_signal(signal.SIGSTOP)
    output, _ = command.communicate(timeout=60)
    assert command.returncode == 0, batch.log("command").read_text()
    found = json.loads(output)
    assert (found["partitions"], found["done"], found["setAside"]) == (6, 6, {})
    files = sorted(path.name for path in Path(found["output"]).iterdir())
    frozen.send_signal(signal.SIGCONT)
    batch.wait(lambda: "partition fenced" in batch.log("node-002.batch").read_text(), "it to be refused")
    assert sorted(path.name for path in Path(found["output"]).iterdir()) == files
    assert len(files) == 7, "six partitions and the job"
    expected = [
        (part.symbol, one.at_ms, one.report.decode())
        for part in cut([Instrument(name) for name in SYMBOLS], BEGIN, BEGIN + 2 * HOUR_MS)
        for one in reports_of(part.symbol, part.from_ms, part.to_ms, None)
    ]
    assert rows(found["output"]) == sorted(expected)
    with batch.server.client(db=1) as broker:
        assert not any(key.startswith(b"node-") and not key.endswith(b".batch") for key in broker.scan_iter())
