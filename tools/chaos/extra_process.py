"""A process beside those of the supervisor: a second node of one name, one with a wrong clock, a role of another version."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tools.chaos.stack_under_test import StackError, StackUnderTest
from tools.local.parent_death import ends_with_parent
from tools.local.roles import ROOT

END_S = 20.0


class ExtraProcess:
    """Runs the command of a role once more, within the ``with`` block.

    Args:
        stack: of the role.
        name: of the role.
        suffix: of the name of its log, ``<name>-<suffix>.log``.
        environment: variables on top of those of the role.
        checkout: of the version to run, with a virtual environment in ``.venv``; by default this one.

    Attributes:
        started_at: Unix time, s.
    """

    def __init__(
        self,
        stack: StackUnderTest,
        name: str,
        suffix: str,
        environment: Mapping[str, str],
        checkout: Path | None = None,
    ) -> None:
        role = next(role for role in stack.deployment.roles if role.name == name)
        programs = Path(sys.executable).parent
        others = programs if checkout is None else checkout / ".venv" / "bin"
        command = (word.replace(f"{programs}/", f"{others}/") for word in role.command)
        self._command = ends_with_parent("KILL", command)
        self._checkout = checkout or ROOT
        self._environment = {**stack.environment, **role.environment, **environment, "PARENT_PID": str(os.getpid())}
        self._path = stack.state_dir / "logs" / f"{name}-{suffix}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._written = 0
        self.started_at = 0.0

    def __enter__(self) -> Self:
        with self._path.open("ab") as log:
            self._written = log.tell()
            self.started_at = time.time()
            self._process = subprocess.Popen(
                self._command,
                cwd=self._checkout,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._running.poll() is None:
            self._running.kill()
        self._running.wait()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "only within the with block"
        return self._process

    @property
    def status(self) -> int | None:
        """Its exit status, ``None`` while it runs."""
        return self._running.poll()

    @property
    def log(self) -> str:
        """What this process wrote, without earlier ones of the same log."""
        return self._path.read_bytes()[self._written :].decode(errors="replace")

    def signal(self, number: signal.Signals) -> float:
        """Send it a signal; returns when it was sent (Unix time, s)."""
        at = time.time()
        self._running.send_signal(number)
        return at

    def await_end(self, timeout_s: float = END_S) -> int:
        """Wait until it has ended; returns its exit status.

        Raises:
            StackError: it still runs after ``timeout_s``.
        """
        try:
            return self._running.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise StackError(f"{self._path.stem} did not end within {timeout_s:g} s") from None
