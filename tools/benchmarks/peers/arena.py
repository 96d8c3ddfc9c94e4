"""One market, and the contestants that report on it one after the other."""

from __future__ import annotations

import math
import os
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from tickfence.coordination.keys import report_key
from tickfence.redis_access.connect import connect
from tickfence.settings import Settings
from tickfence.streams.keys import snapshot_key
from tools.benchmarks.histogram import Buckets
from tools.benchmarks.peers import latencies
from tools.benchmarks.peers.contestants import Contestant, contestants
from tools.benchmarks.peers.watch import Watcher
from tools.benchmarks.processes import cpu_seconds, kill
from tools.local import ports
from tools.local.roles import INGESTS, REPORT_PHASE, Ports, Role, stack_environment, stack_roles
from tools.local.supervision import Supervisor
from tools.simulator import symbols

READY_S = 60.0
MARKET = "md:"
LATENCY = "nt_dispatch_to_written_ms"
RESTART_AFTER_S = 0.1
"""What systemd waits before it starts a service again (RestartSec=)."""


class Arena:
    """Redis, the simulated exchange and one ingest, from entering the ``with`` block to leaving it.

    Parameters:
        state_dir: for logs and files.
        count: symbols.
        redbeat: where celery-redbeat is installed, if it is.
    """

    def __init__(self, state_dir: Path, count: int, redbeat: Path | None) -> None:
        self.symbols = [one.symbol for one in symbols.parse(str(count))]
        plain = {n: v for n, v in os.environ.items() if not n.startswith("NT_") and n != "SYMBOLS"}
        variables = {"NT_LOG_LEVEL": "WARNING", "SYMBOLS": ",".join(self.symbols)}
        self.settings = Settings.from_environment(variables)
        self.ports = Ports.choose(usual=False)
        data_dir = state_dir.resolve() / "redis"
        data_dir.mkdir(parents=True, exist_ok=True)
        self.contestants = contestants(self.ports, state_dir.resolve() / "contestants", redbeat)
        self._market = list(_market(self.settings, self.ports, data_dir))
        self._supervisor = Supervisor.launch(
            state_dir.resolve(),
            [*self._market, *(role for one in self.contestants for role in one.roles)],
            stack_environment({**plain, **variables}, self.ports),
        )
        self.client: Any = connect(f"redis://{ports.LOOPBACK}:{self.ports.redis}/0", name="bench", timeout_s=5)

    def __enter__(self) -> Self:
        try:
            for _, phase in groupby(self._market, attrgetter("phase")):
                for role in phase:
                    self._supervisor.start(role.name)
                    self._await_port(role)
            if not self._await_keys(map(snapshot_key, self.symbols), READY_S):
                raise SystemExit(f"error: no market data of all symbols after {READY_S:g} s")
            self.watcher = Watcher(self.ports.redis)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        if hasattr(self, "watcher"):
            self.watcher.close()
        self._supervisor.shutdown()

    @contextmanager
    def running(self, contestant: Contestant, *, twice: bool = False) -> Iterator[bool]:
        """Run ``contestant``, its second processes too if ``twice``; the block gets whether all symbols have reports.

        It starts, and ends, with nothing in Redis but the market.
        """
        self._forget()
        try:
            for role in (contestant.workers[0], contestant.beats[0]):
                self._supervisor.start(role.name)
            ready = self._await_keys(map(report_key, self.symbols), READY_S / 2)
            # Now that the first beat leads.
            for role in (*contestant.workers[1:], *contestant.beats[1:]) if twice else ():
                self._supervisor.start(role.name)
            yield ready
        finally:
            self._supervisor.stop([role.name for role in contestant.roles])
            self._forget()

    def cpu(self, roles: Iterable[Role] | None = None) -> float:
        """Seconds of CPU that ``roles`` have spent, with their pools; without any given, Redis."""
        states = self._supervisor.states()
        names = ["redis"] if roles is None else [role.name for role in roles]
        return sum(cpu_seconds(states[name].pid) for name in names if states[name].pid)

    def kill(self, role: Role) -> None:
        kill(self._supervisor.states()[role.name].pid)

    def start_again(self, role: Role) -> None:
        """Start what was killed, as a service manager does."""
        while self._supervisor.states()[role.name].running:
            time.sleep(0.01)
        time.sleep(RESTART_AFTER_S)
        self._supervisor.start(role.name)

    def latencies(self, contestant: Contestant) -> Buckets:
        """Task sent -> report written, ms, of all reports of the first worker so far."""
        if contestant.latencies is None:
            return _read_histogram(contestant.metrics_ports[0])
        return latencies.bucketed(list(latencies.read(contestant.latencies)))

    def _forget(self) -> None:
        pipe = self.client.pipeline(transaction=False)
        for key in self.client.scan_iter(count=1000):
            if not key.startswith(MARKET.encode()):
                pipe.unlink(key)
        pipe.execute()
        with connect(f"redis://{ports.LOOPBACK}:{self.ports.redis}/1", name="bench", timeout_s=5) as broker:
            broker.flushdb()
        for contestant in self.contestants:
            for file in contestant.latencies.iterdir() if contestant.latencies else ():
                file.unlink()

    def _await_keys(self, keys: Iterable[str], within_s: float) -> bool:
        wanted, deadline = list(keys), time.monotonic() + within_s
        while self.client.exists(*wanted) < len(wanted):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def _await_port(self, role: Role) -> None:
        waits_for = self.ports.redis if role.name == "redis" else role.listens_on
        if waits_for is not None and not ports.await_taken(waits_for, READY_S):
            raise SystemExit(f"error: {role.name} is not ready after {READY_S:g} s")


def _market(settings: Settings, where: Ports, data_dir: Path) -> Iterator[Role]:
    # All clients share one address here, and with it the weight that the exchange grants one.
    lavish = ("--weight-per-minute", "1000000")
    for role in stack_roles(settings, where, data_dir):
        if role.name == "simulator":
            yield replace(role, command=(*role.command, *lavish))
        elif role.phase < REPORT_PHASE and role.name != INGESTS[1]:
            yield role


def _read_histogram(port: int) -> Buckets:
    with urllib.request.urlopen(f"http://{ports.LOOPBACK}:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        math.inf if one.labels["le"] == "+Inf" else float(one.labels["le"]): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.name == f"{LATENCY}_bucket" and one.labels["cycle"] == "fast"
    }
