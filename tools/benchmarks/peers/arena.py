"""One market, on which the contestants report one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tickfence.settings import Settings
from tools.benchmarks.machine import cpu_seconds, kill
from tools.benchmarks.metrics import Buckets, Metrics
from tools.benchmarks.peers import latencies
from tools.benchmarks.peers.contestants import Contestant, contestants
from tools.benchmarks.peers.watch import Watcher
from tools.benchmarks.stack import READY_S, RunningRoles, StackError
from tools.local.roles import INGESTS, REPORT_PHASE, Ports, Role, stack_roles

LATENCY = "nt_dispatch_to_written_ms{cycle=fast}"
RESTART_AFTER_S = 0.1
"""systemd waits so long before it restarts a service (RestartSec=)."""


class Arena(RunningRoles):
    """Redis, the simulated exchange and one ingest, which run within the ``with`` block.

    Args:
        state_dir: for logs and files.
        count: number of symbols.
        redbeat: where celery-redbeat is installed; ``None`` leaves it out.
    """

    def __init__(self, state_dir: Path, count: int, redbeat: Path | None) -> None:
        self._redbeat = redbeat
        super().__init__(state_dir, count)

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "watcher"):
            self.watcher.close()
        super().__exit__()

    def _plan(self, data_dir: Path) -> list[Role]:
        self.contestants = contestants(self.ports, data_dir.with_name("contestants"), self._redbeat)
        self._market = list(_market(self.settings, self.ports, data_dir))
        return [*self._market, *(role for one in self.contestants for role in one.roles)]

    def _start(self) -> None:
        self._supervisor.start_in_order(self._market, READY_S)
        if not self.await_keys(self.keys.snapshot):
            raise StackError(f"no market data of all symbols after {READY_S:g} s")
        self.watcher = Watcher(self.ports.redis, self.keys)

    @contextmanager
    def running(self, contestant: Contestant, *, twice: bool = False) -> Iterator[bool]:
        """Run a contestant within the ``with`` block, which gets whether all symbols have reports.

        At the begin and at the end Redis holds only the market data.

        Args:
            contestant: which one.
            twice: whether its second processes run too.
        """
        self._forget()
        try:
            for role in (contestant.workers[0], contestant.beats[0]):
                self._supervisor.start(role.name)
            ready = self.await_keys(self.keys.report, READY_S / 2)
            # The first beat leads by now.
            for role in (*contestant.workers[1:], *contestant.beats[1:]) if twice else ():
                self._supervisor.start(role.name)
            yield ready
        finally:
            self._supervisor.stop([role.name for role in contestant.roles])
            self._forget()

    def cpu(self, roles: Iterable[Role] | None = None) -> float:
        """CPU time of roles and their pools, s; that of Redis without ``roles``."""
        states = self._supervisor.states()
        names = ["redis"] if roles is None else [role.name for role in roles]
        return sum(cpu_seconds(states[name].pid) for name in names if states[name].pid)

    def kill(self, role: Role) -> None:
        """SIGKILL a role and its pool."""
        kill(self._supervisor.states()[role.name].pid)

    def start_again(self, role: Role) -> None:
        """Start a killed role again, as a service manager does."""
        self._supervisor.await_end(role.name)
        time.sleep(RESTART_AFTER_S)
        self._supervisor.start(role.name)

    def latencies(self, contestant: Contestant) -> Buckets:
        """From task sent to report written, ms: all reports of the first worker so far."""
        if contestant.latencies is None:
            metrics = Metrics()
            metrics.add(contestant.metrics_ports[0])
            return metrics.histograms.get(LATENCY, {})
        return latencies.bucketed(list(latencies.read(contestant.latencies)))

    def _forget(self) -> None:
        market = f"{self.keys.prefix}md:".encode()
        pipe = self.client.pipeline(transaction=False)
        for key in self.client.scan_iter(count=1000):
            if not key.startswith(market):
                pipe.unlink(key)
        pipe.execute()
        self.broker.flushdb()
        for contestant in self.contestants:
            for file in contestant.latencies.iterdir() if contestant.latencies else ():
                file.unlink()


def _market(settings: Settings, where: Ports, data_dir: Path) -> Iterator[Role]:
    # All clients share one address here, and so they share the request weight of one client.
    weight = ("--weight-per-minute", "1000000")
    for role in stack_roles(settings, where, data_dir):
        if role.name == "simulator":
            yield replace(role, command=(*role.command, *weight))
        elif role.phase < REPORT_PHASE and role.name != INGESTS[1]:
            yield role
