"""What dispatch costs: a real beat and a real Redis, with nodes that register and empty their queues, and no more.

    python -m tools.benchmarks.dispatch_cost [--sizes 4000x40,1000x10] [--beats 3] [--before FOLDER] [--seconds 10]

With ``--beats 3`` three beats share three shards. ``--before`` is a folder with another version and its ``.venv``: both are measured in turn. After each measurement a
node's connection is closed, as by SIGKILL: the time until an assignment without it is published is the time to notice.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import redis

from tickfence.coordination.assignment_store import read_assignment
from tickfence.coordination.registration import REGISTER
from tickfence.keys import Keys
from tools.benchmarks.machine import described, facts, process_cpu_seconds
from tools.benchmarks.plots import draw
from tools.benchmarks.stack import StackError
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.parent_death import ends_with_parent
from tools.local.roles import ROOT, without_settings

KEYS = Keys()
TTL_MS = 1000
SETTLE_S = 5.0
READY_S = 60.0
# A variable of execve is limited to 128 kB, so a beat reads the names of its symbols itself.
_BEAT = (
    "import os, sys; os.environ['SYMBOLS'] = open(sys.argv.pop(1)).read(); "
    "from celery.__main__ import main; sys.argv[0] = 'celery'; main()"
)


class FakeNodes:
    """Nodes that are registered, and whose queues are emptied, within the ``with`` block.

    Args:
        port: of the Redis that is data plane and broker.
        count: how many.
    """

    def __init__(self, port: int, count: int) -> None:
        self.names = [f"node-{number:04}" for number in range(count)]
        self._client = redis.Redis(port=port)
        self._broker = redis.Redis(port=port, db=1)
        self._connections = {name: redis.Redis(port=port, single_connection_client=True) for name in self.names}
        self._ids = {name: client.client_id() for name, client in self._connections.items()}
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._beat_hearts, self._empty_queues)]

    def __enter__(self) -> FakeNodes:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        for client in self._connections.values():
            client.close()

    def kill(self, name: str) -> None:
        """Close a node's connection, and beat its heart no more."""
        self._ids.pop(name)
        self._connections[name].close()

    def _beat_hearts(self) -> None:
        while not self._ended.wait(TTL_MS / 4000):
            for name, client_id in list(self._ids.items()):
                self._ended.wait(TTL_MS / 4000 / len(self.names) / 2)
                fields = ("client_id", client_id, "weight", 1, "host", "bench", "pid", 1, "status_of", "a", "shards", 1)
                _, now, *_ = REGISTER.run(self._client, [KEYS.node(name)], ["a", TTL_MS, "", *fields])
                if name in self._ids:
                    self._client.zadd(KEYS.nodes, {name: int(now)})

    def _empty_queues(self) -> None:
        while not self._ended.wait(0.02):
            self._broker.delete(*self.names)


@contextmanager
def running_beats(
    count: int, code: Path, server: EmbeddedRedis, folder: Path, symbols: list[str]
) -> Iterator[list[int]]:
    """Beats of the version in ``code``, with a shard each; gives their process ids."""
    (folder / "symbols").write_text(",".join(symbols))
    environment = {
        **without_settings(os.environ),
        "REDIS_URL": server.url(),
        "CELERY_BROKER_URL": server.url(1),
        "NT_METRICS_PORT": "0",
        "NT_LOG_LEVEL": "WARNING",
        "NT_DISPATCH_SHARDS": str(count),
        "PYTHONPATH": str(code),
        "PARENT_PID": str(os.getpid()),
    }
    command = [str(code / ".venv/bin/python"), "-c", _BEAT, str(folder / "symbols"), "-A", "tasks", "beat"]
    processes = []
    try:
        for _ in range(count):
            with (folder / "log").open("ab") as log:
                processes.append(
                    subprocess.Popen(
                        ends_with_parent("KILL", command), cwd=folder, env=environment, stdout=log, stderr=log
                    )
                )
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


class Cost(NamedTuple):
    """One measurement.

    Attributes:
        beat: CPU of the busiest beat as a share of a core.
        beats: the same of all beats.
        redis: the same of Redis, which is data plane and broker.
        noticed_s: from a node's death to a published assignment without it, s.
    """

    beat: float
    beats: float
    redis: float
    noticed_s: float


def measure(code: Path, symbols: int, nodes: int, beats: int, seconds: float) -> Cost:
    """Measure new beats, Redis and nodes."""
    names = [f"T{number:06}USDT" for number in range(symbols)]
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis() as server:
        client: Any = redis.Redis.from_url(server.url())
        with (
            FakeNodes(server.port, nodes) as fake,
            running_beats(beats, code, server, Path(folder), names) as pids,
        ):
            deadline = time.monotonic() + READY_S
            while len({owner.node for owner in read_assignment(client, KEYS).owners.values()}) < nodes:
                if time.monotonic() > deadline:
                    raise StackError(f"not all nodes have symbols: {(Path(folder) / 'log').read_text()[-500:]}")
                time.sleep(0.2)
            time.sleep(SETTLE_S)
            watched = [*pids, int(client.info("server")["process_id"])]
            before, started = [*map(process_cpu_seconds, watched)], time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - started
            *of_beats, of_redis = (
                (process_cpu_seconds(one) - spent) / took for one, spent in zip(watched, before, strict=True)
            )
            generation = client.hget(KEYS.assignment, "generation")
            killed = time.monotonic()
            fake.kill(fake.names[0])
            while client.hget(KEYS.assignment, "generation") == generation:
                if time.monotonic() > killed + READY_S:
                    raise StackError("the death of a node is not noticed")
                time.sleep(0.002)
            return Cost(max(of_beats), sum(of_beats), of_redis, time.monotonic() - killed)


def main() -> None:
    """Carry out the command line."""
    p = argparse.ArgumentParser(prog="python -m tools.benchmarks.dispatch_cost", description=__doc__.splitlines()[0])
    p.add_argument("--sizes", default="1000x10,4000x40,10000x100", help="SYMBOLSxNODES, comma-separated (%(default)s)")
    p.add_argument("--beats", type=int, default=1, help="how many beats share as many shards (%(default)s)")
    p.add_argument("--before", type=Path, help="folder of another version")
    p.add_argument("--seconds", type=float, default=10.0, help="length of a measurement (%(default)s)")
    p.add_argument("--times", type=int, default=2, help="how often each is measured; the median counts (%(default)s)")
    p.add_argument("--out", type=Path, help="folder for the numbers and the plot")
    given = p.parse_args()
    rows: list[dict[str, Any]] = []
    versions = {"now": ROOT} | ({"before": given.before.resolve()} if given.before else {})
    print(described())
    for size in given.sizes.split(","):
        symbols, nodes = map(int, size.split("x"))
        found: dict[str, list[Cost]] = {name: [] for name in versions}
        for _ in range(given.times):
            for name, code in versions.items():
                found[name].append(measure(code, symbols, nodes, given.beats, given.seconds))
        for name, each in found.items():
            cost = Cost(*(statistics.median(values) for values in zip(*each, strict=True)))
            print(
                f"{symbols:7} symbols, {nodes:4} nodes, {name:6}: busiest beat {cost.beat:6.1%} of a core, "
                f"all {cost.beats:6.1%}, Redis {cost.redis:6.1%}, "
                f"published after {cost.noticed_s:.3f} s",
                flush=True,
            )
            rows.append({"symbols": symbols, "nodes": nodes, "version": name, **cost._asdict()})
    if given.out:
        (given.out / "dispatch_cost.json").write_text(json.dumps({"machine": facts(), "found": rows}, indent=1) + "\n")
        draw("dispatch_cost", rows, given.out / "dispatch_cost.png")


if __name__ == "__main__":
    main()
