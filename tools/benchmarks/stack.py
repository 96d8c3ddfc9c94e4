"""A stack to measure: every role in its own process, seen only from outside."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from tickfence.redis_access.connect import connect
from tickfence.settings import Settings
from tools.benchmarks.machine import busy_seconds, process_cpu_seconds
from tools.benchmarks.metrics import Buckets, Metrics
from tools.local.roles import BEATS, INGESTS, NODES, Ports, Role, stack_environment, stack_roles, without_settings
from tools.local.supervision import SupervisionError, Supervisor
from tools.simulator import symbols

READY_S = 60.0
_ONE_BEAT: Mapping[str, Mapping[str, str]] = {BEATS[0]: {}}


@dataclass
class Sample:
    """What every role had done at one moment.

    Attributes:
        at: monotonic time, s.
        cpu: role -> CPU time since it was started, s.
        memory: role -> resident bytes.
        metrics: summed over the roles.
        busy: CPU time of the whole machine, s.
    """

    at: float
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)
    busy: float = field(default_factory=busy_seconds)

    def since(self, before: Sample) -> Sample:
        """What was done since ``before``; the memory is that of now."""
        return Sample(
            self.at - before.at,
            {role: spent - before.cpu.get(role, 0.0) for role, spent in self.cpu.items()},
            self.memory,
            self.metrics.since(before.metrics),
            self.busy - before.busy,
        )

    def count(self, key: str) -> float:
        """A counter, 0 if there is none; see :class:`tools.benchmarks.metrics.Metrics` for the key."""
        return self.metrics.counters.get(key, 0.0)

    def histogram(self, key: str) -> Buckets:
        """A histogram, empty if there is none."""
        return self.metrics.histograms.get(key, {})


class StackError(SupervisionError):
    """The stack did not start; the message is one line to show."""


class RunningRoles:
    """Roles on their own ports in one folder, which run within the ``with`` block.

    Args:
        state_dir: for logs and the files of Redis.
        count: number of symbols.

    Attributes:
        url: of the data plane.
    """

    def __init__(self, state_dir: Path, count: int) -> None:
        self.symbols = [one.symbol for one in symbols.parse(str(count))]
        variables = {"NT_LOG_LEVEL": "WARNING", "SYMBOLS": ",".join(self.symbols)}
        self.settings = Settings.from_environment(variables)
        self.keys = self.settings.keys
        self.ports = Ports.choose(usual=False)
        environment = stack_environment({**without_settings(os.environ), **variables}, self.ports)
        data_dir = state_dir.resolve() / "redis"
        data_dir.mkdir(parents=True, exist_ok=True)
        self._supervisor = Supervisor.launch(state_dir.resolve(), self._plan(data_dir), environment)
        self.url = environment["REDIS_URL"]
        self.client: Any = connect(self.url, name="bench", timeout_s=5)
        self.broker: Any = connect(environment["CELERY_BROKER_URL"], name="bench", timeout_s=5)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.broker.close()
        self._supervisor.shutdown()

    def _plan(self, data_dir: Path) -> list[Role]:
        """All roles that may run; Redis keeps its files in ``data_dir``."""
        raise NotImplementedError

    def _start(self) -> None:
        """Start what is measured from the begin, and wait until it works."""
        raise NotImplementedError

    def await_keys(self, key: Callable[[str], str], within_s: float = READY_S) -> bool:
        """Wait until Redis has this key of every symbol; whether it had ``within_s``."""
        wanted, deadline = [key(symbol) for symbol in self.symbols], time.monotonic() + within_s
        while self.client.exists(*wanted) < len(wanted):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True


class Stack(RunningRoles):
    """One stack.

    Args:
        state_dir: for logs and the files of Redis.
        count: number of symbols.
        nodes: number of nodes, 1 to 3.
        beats: role -> further variables of that beat; only the first one starts with the stack.
    """

    def __init__(
        self, state_dir: Path, count: int, nodes: int, beats: Mapping[str, Mapping[str, str]] = _ONE_BEAT
    ) -> None:
        self._beats, self._later = beats, set(list(beats)[1:])
        self._left_out = {"flower", "web", INGESTS[1], *NODES[nodes:], *(set(BEATS) - set(beats))}
        super().__init__(state_dir, count)

    def _plan(self, data_dir: Path) -> list[Role]:
        self.roles = [
            replace(role, environment={**role.environment, **self._beats.get(role.name, {})})
            for role in stack_roles(self.settings, self.ports, data_dir)
            if role.name not in self._left_out
        ]
        return self.roles

    def _start(self) -> None:
        self._supervisor.start_in_order((role for role in self.roles if role.name not in self._later), READY_S)
        if not self.await_keys(self.keys.report):
            raise StackError(f"not all of {len(self.symbols)} symbols have a report after {READY_S:g} s")

    def pids(self) -> dict[str, int]:
        """Process id of every role that runs."""
        return {name: state.pid for name, state in self._supervisor.states().items() if state.pid}

    def signal(self, role: str, number: int) -> None:
        """Send a role's process a signal."""
        os.kill(self.pids()[role], number)

    def start(self, role: str) -> None:
        """Start a role that did not start with the stack, or that has ended."""
        self._supervisor.start(role)

    def sample(self) -> Sample:
        """What every role has done so far."""
        found = Sample(time.monotonic())
        for role, pid in self.pids().items():
            with contextlib.suppress(OSError):  # it has just ended
                found.cpu[role] = process_cpu_seconds(pid)
                found.memory[role] = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                if role in self.ports.metrics:
                    found.metrics.add(self.ports.metrics[role])
        return found
