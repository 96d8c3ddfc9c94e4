"""A role of the product as a process, with its settings and its log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[1]


class RoleProcess:
    """``python -m MODULE ARGUMENTS`` with only these settings; ends with the ``with`` block."""

    def __init__(self, module: str, *arguments: str, **variables: object) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NT_")}
        environment |= {name: str(value) for name, value in variables.items()}
        command = [sys.executable, "-m", module, *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=self._errors, text=True)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=15)

    def log_text(self) -> str:
        """Everything written to standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if error is not None:
            print(self.log_text())
        self._errors.close()
