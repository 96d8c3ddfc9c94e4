"""A worker that the stack's supervisor knows nothing of: a second one with a node id in use, one with a wrong clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tools.chaos.lab import Lab, LabError
from tools.local import tied
from tools.local.roles import ROOT

END_S = 20.0


class Outsider:
    """Runs what the lab's role ``name`` runs once more, from entering the ``with`` block to leaving it.

    Attributes:
        started_at: Unix time, s.

    Parameters:
        environment: on top of that role's.
        word: distinguishes its log, ``<name>-<word>.log``.
    """

    def __init__(self, lab: Lab, name: str, word: str, environment: Mapping[str, str]) -> None:
        role = next(role for role in lab.roles if role.name == name)
        self._command = [sys.executable, "-I", tied.__file__, "KILL", *role.command]
        self._environment = {**lab.environment, **role.environment, **environment, "TIED_TO": str(os.getpid())}
        self._path = lab.state_dir / "logs" / f"{name}-{word}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._written = 0
        self.started_at = 0.0

    def __enter__(self) -> Self:
        with self._path.open("ab") as log:
            self._written = log.tell()
            self.started_at = time.time()
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running.poll() is None:
            self._running.kill()
        self._running.wait()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "only in the with block"
        return self._process

    @property
    def status(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._running.poll()

    @property
    def log(self) -> str:
        """What this one wrote, not those before it."""
        return self._path.read_bytes()[self._written :].decode(errors="replace")

    def signal(self, number: signal.Signals) -> float:
        """Send it a signal; the time at which it was sent."""
        at = time.time()
        self._running.send_signal(number)
        return at

    def await_end(self, timeout_s: float = END_S) -> int:
        """Wait until it has ended; its exit status. Raises :exc:`tools.chaos.lab.LabError` if it goes on."""
        try:
            return self._running.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self._path.stem} did not end within {timeout_s:g} s") from None
