"""Many nodes and some beats, each a process of its own, which can be ended in every way and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from tools.benchmarks.machine import process_cpu_seconds
from tools.benchmarks.metrics import Metrics
from tools.local import ports
from tools.local.parent_death import ends_with_parent
from tools.local.roles import ROOT, celery

STOP_WITHIN_S = 30.0


class Fleet:
    """Processes that run within the ``with`` block.

    Args:
        folder: for their logs.
        environment: of all of them.
        nodes: ids of the nodes.
        beats: names of the beats.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], nodes: Iterable[str], beats: Iterable[str]
    ) -> None:
        self._folder, self._environment = folder, environment
        self.nodes, self.beats = list(nodes), list(beats)
        self.commands: dict[str, tuple[str, ...]] = {name: celery("beat") for name in self.beats}
        self.commands |= {name: celery("worker", "-Q", name) for name in self.nodes}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: list[Metrics] = []  # what the processes that are no more showed last
        taken: list[int] = []
        self._claims = []
        for _ in self.commands:
            port, claim = ports.choose(taken=taken)
            taken.append(port)
            self._claims.append(claim)
        self._ports = dict(zip(self.commands, taken, strict=True))

    def start(self, name: str) -> None:
        """Start a process that does not run."""
        own = {"NT_NAME": name, "NT_METRICS_PORT": str(self._ports[name]), "PARENT_PID": str(os.getpid())}
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                ends_with_parent("KILL", self.commands[name]),
                cwd=ROOT,
                env={**self._environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str) -> None:
        """End a process as a crash would; what it counted is kept."""
        self._keep(name)
        self._processes[name].kill()

    def terminate(self, name: str) -> None:
        """Ask a process to end, and wait until it has; what it had counted before is kept."""
        self._keep(name)
        self._processes[name].send_signal(signal.SIGTERM)
        self._processes.pop(name).wait(STOP_WITHIN_S)

    def counted(self) -> Metrics:
        """What all processes have counted, of those that have ended too."""
        total = Metrics()
        for one in (*self._ended, *map(self._page, self._running())):
            for key, value in one.counters.items():
                total.counters[key] += value
        return total

    def cpu_s(self) -> dict[str, float]:
        """CPU time of each process that runs."""
        return {name: process_cpu_seconds(self._processes[name].pid) for name in self._running()}

    def memory_bytes(self) -> dict[str, int]:
        """Resident memory of each process that runs."""
        page = os.sysconf("SC_PAGE_SIZE")
        statm = {name: Path(f"/proc/{self._processes[name].pid}/statm") for name in self._running()}
        return {name: int(path.read_text().split()[1]) * page for name, path in statm.items()}

    def _running(self) -> list[str]:
        return [name for name, process in self._processes.items() if process.poll() is None]

    def _page(self, name: str) -> Metrics:
        found = Metrics()
        with contextlib.suppress(OSError):  # it has just started
            found.add(self._ports[name])
        return found

    def _keep(self, name: str) -> None:
        self._ended.append(self._page(name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
