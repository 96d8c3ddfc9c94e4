"""The whole system on this machine, every role its own process, to be measured from outside."""

from __future__ import annotations

import contextlib
import math
import os
import time
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from tickfence.redis_access.connect import connect
from tickfence.settings import Settings
from tools.benchmarks.histogram import Buckets
from tools.benchmarks.processes import busy_seconds
from tools.local import ports
from tools.local.roles import BEATS, INGESTS, NODES, Ports, Role, stack_environment, stack_roles
from tools.local.supervision import Supervisor
from tools.simulator import symbols

_READY_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Sample:
    """What every role had done by a moment.

    Attributes:
        at: seconds, monotonic.
        cpu: role -> seconds of CPU since it was started.
        memory: role -> resident bytes.
        counters: metric, its labels in braces -> value, summed over the roles.
        histograms: the same for histograms.
        busy: seconds of CPU that the whole machine has spent on anything.
    """

    at: float
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    histograms: dict[str, dict[float, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    busy: float = field(default_factory=busy_seconds)

    def since(self, before: Sample) -> Sample:
        """What was done from ``before`` on; memory is that of now."""
        return Sample(
            self.at - before.at,
            {role: spent - before.cpu.get(role, 0.0) for role, spent in self.cpu.items()},
            self.memory,
            {name: value - before.counters.get(name, 0.0) for name, value in self.counters.items()},
            {
                name: {bound: count - before.histograms.get(name, {}).get(bound, 0.0) for bound, count in found.items()}
                for name, found in self.histograms.items()
            },
            self.busy - before.busy,
        )

    def count(self, name: str) -> float:
        return self.counters.get(name, 0.0)

    def histogram(self, name: str) -> Buckets:
        return self.histograms.get(name, {})


class StackError(RuntimeError):
    """The stack did not come up; the text is the one line to show."""


class Stack:
    """One stack in one folder, from entering the ``with`` block to leaving it.

    Parameters:
        state_dir: for logs and Redis' files.
        count: symbols.
        nodes: how many of them, 1 to 3.
        given: environment variables that set the roles' settings.
        beats: role -> further variables of that beat; the first one starts with the stack.
    """

    def __init__(
        self,
        state_dir: Path,
        count: int,
        nodes: int = 1,
        given: Mapping[str, str] | None = None,
        beats: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.symbols = [one.symbol for one in symbols.parse(str(count))]
        plain = {n: v for n, v in os.environ.items() if not n.startswith("NT_") and n != "SYMBOLS"}
        variables = {"NT_LOG_LEVEL": "WARNING", **(given or {}), "SYMBOLS": ",".join(self.symbols)}
        settings = Settings.from_environment(variables)
        self.ports = Ports.choose(usual=False)
        data_dir = state_dir.resolve() / "redis"
        data_dir.mkdir(parents=True, exist_ok=True)
        self.environment = stack_environment({**plain, **variables}, self.ports)
        beats = beats or {BEATS[0]: {}}
        left_out = {"flower", "web", INGESTS[1], *NODES[nodes:], *(set(BEATS) - set(beats))}
        self.roles = [
            replace(role, environment={**role.environment, **beats.get(role.name, {})})
            for role in stack_roles(settings, self.ports, data_dir)
            if role.name not in left_out
        ]
        self._later = set(list(beats)[1:])
        self._supervisor = Supervisor.launch(state_dir.resolve(), self.roles, self.environment)
        self.client: Any = connect(self.environment["REDIS_URL"], name="bench", timeout_s=5)
        self.broker: Any = connect(self.environment["CELERY_BROKER_URL"], name="bench", timeout_s=5)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self.client.close()
        self.broker.close()
        self._supervisor.shutdown()

    def _start(self) -> None:
        for _, phase in groupby(sorted(self.roles, key=attrgetter("phase")), attrgetter("phase")):
            for role in phase:
                if role.name not in self._later:
                    self._supervisor.start(role.name)
                    self._await_port(role)
        deadline = time.monotonic() + _READY_S
        while (there := self.reports()) < len(self.symbols):
            if time.monotonic() > deadline:
                raise StackError(f"{there} of {len(self.symbols)} symbols have a report after {_READY_S:g} s")
            time.sleep(0.2)

    def _await_port(self, role: Role) -> None:
        waits_for = self.ports.redis if role.name == "redis" else role.listens_on
        if waits_for is not None and not ports.await_taken(waits_for, _READY_S):
            raise StackError(f"{role.name} is not ready after {_READY_S:g} s")

    def settle(self, seconds: float) -> None:
        """Let the work of starting pass: cold starts, first snapshots, the windows' first growth."""
        time.sleep(seconds)

    def reports(self) -> int:
        """How many symbols have a report."""
        return int(self.client.exists(*(f"report:{symbol}" for symbol in self.symbols)))

    def pids(self) -> dict[str, int]:
        return {name: state.pid for name, state in self._supervisor.states().items() if state.pid}

    def signal(self, role: str, number: int) -> None:
        os.kill(self.pids()[role], number)

    def start(self, role: str) -> None:
        """Start a role that was left for later, or that has ended."""
        self._supervisor.start(role)

    def sample(self) -> Sample:
        """What every role has done so far."""
        found = Sample(time.monotonic())
        for role, pid in self.pids().items():
            with contextlib.suppress(OSError):  # it is just ending
                stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                found.cpu[role] = (int(stat[11]) + int(stat[12])) / _TICKS
                found.memory[role] = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                if role in self.ports.metrics:
                    self._read_metrics(self.ports.metrics[role], found)
        return found

    @staticmethod
    def _read_metrics(port: int, into: Sample) -> None:
        with urllib.request.urlopen(f"http://{ports.LOOPBACK}:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                labels = {name: value for name, value in one.labels.items() if name not in ("le", "node")}
                name = one.name.removesuffix("_bucket") + "".join(f"{{{n}={v}}}" for n, v in sorted(labels.items()))
                if "le" in one.labels:
                    bound = math.inf if one.labels["le"] == "+Inf" else float(one.labels["le"])
                    into.histograms[name][bound] += one.value
                else:
                    into.counters[name] += one.value
