"""`python -m tools.local` run as a user runs it, and looked at from outside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.processes import wait_until
from tools.local.roles import ROOT, without_settings
from tools.local.supervision import Supervisor

# Redis and ingest alone: enough to see how roles are run, and quick.
SMALL = {
    "NT_ENABLE_KV_REPORTS": "false",
    "NT_EXCHANGE_WS_URL": "ws://127.0.0.1:9",
    "NT_EXCHANGE_REST_URL": "http://127.0.0.1:9",
}


def local(state: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tools.local", "--state", str(state), *arguments]


def environment(**extra: str) -> dict[str, str]:
    """This process's environment without settings, and with ``extra``."""
    return without_settings(os.environ) | extra


class Foreground:
    """One `python -m tools.local` with its terminal's text in a file."""

    def __init__(self, state: Path, settings: dict[str, str]) -> None:
        self.state = state
        self._environment = environment(**settings)
        self._shown = state.parent / f"{state.name}.shown"
        with self._shown.open("wb") as output:
            self.process = subprocess.Popen(
                local(state),
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def shown(self) -> str:
        return self._shown.read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        return wait_until(
            lambda: re.search(pattern, self.shown()), lambda: f"{pattern!r} in:\n{self.shown()}", timeout_s=60
        )

    def pids(self) -> list[int]:
        """supervisord and every role that runs."""
        roles = Supervisor.find(self.state).states().values()
        return [int((self.state / "supervisord.pid").read_text()), *(state.pid for state in roles if state.pid)]

    def order(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            local(self.state, *arguments), cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False
        )


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
