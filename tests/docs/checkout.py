"""A copy of this repository with a real `make run`, in which tests type the commands of the pages."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.docs.pages import ROOT, files
from tests.processes import wait_until
from tests.programs import libraries
from tests.tools.local.foreground import alive
from tools.local import ports
from tools.local.embedded_redis import find_cli
from tools.local.roles import INGESTS
from tools.local.supervision import Supervisor

_LEFT_OUT = shutil.ignore_patterns(".git", ".local", ".venv", ".*_cache", ".hypothesis", "secrets", "unpacked")


class Checkout:
    """The copy. `make run` runs in it while the ``with`` block does.

    Args:
        folder: An empty folder for the copy.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tickfence"
        shutil.copytree(ROOT, self.folder, ignore=_LEFT_OUT)
        for name, text in files().items():
            (self.folder / name).write_text(text)
        _link_environment(self.folder / ".venv")
        self._state = self.folder / ".local"
        self._output = folder / "make-run"
        self._stand_ins = folder / "stand-ins"
        # Without settings but the one below, and without the variables of `make test`: a make below it prints its folder.
        others = ("NT_", "MAKE", "MFLAGS", "SYMBOLS")
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        self._environment["NT_REPORT_PERIOD_MS"] = "500"  # half as often as usual: the commands do not need it
        self._environment["PATH"] = f"{self._stand_ins}:{self.folder}/.venv/bin:{self._environment['PATH']}"

    def __enter__(self) -> Self:
        with self._output.open("wb") as output:
            self._run = subprocess.Popen(
                ["make", "run"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(self._live, self._output.read_text, 100, 0.1)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pids = [state.pid for state in Supervisor.find(self._state).states().values() if state.running]
        self._end()
        assert self._output.read_text().endswith("\nStopped.\n")
        assert [pid for pid in pids if alive(pid)] == []
        stopped = re.findall(r"stopped: (\S+)", (self._state / "logs" / "supervisord.log").read_text())
        assert set(stopped[-4:-2]) == set(INGESTS)
        assert stopped[-2:] == ["simulator", "redis"]

    def here(self, command: str) -> str:
        """A command with this stack's ports instead of the default ones, which may be in use."""
        for usual, port in self.ports.items():
            command = re.sub(rf"\b{usual}\b", str(port), command)
        return command

    def start(self, command: str, output: Path) -> subprocess.Popen[bytes]:
        """Start a command with the stack's Python and addresses; write both of its outputs to a file."""
        with output.open("wb") as file:
            return subprocess.Popen(
                ["/bin/sh", "-c", f". .local/env && {command}"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # As in a terminal, even if this process runs in the background, which ignores SIGINT.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            )

    def type(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end with the stack's Python and addresses."""
        return subprocess.run(
            ["/bin/sh", "-c", f". .local/env && {command}"],
            cwd=self.folder,
            env=self._environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def roles(self) -> dict[str, bool]:
        """Whether each role of the stack runs."""
        shown = self.type("make status").stdout.splitlines()
        return {line.split()[0]: " runs, process " in line for line in shown}

    def _live(self) -> bool:
        assert self._run.poll() is None, self._output.read_text()
        shown = self._output.read_text()
        if "eight reports are live" not in shown:
            return False
        writes = re.findall(r"^  node-00\d writes (.*)$", shown, re.MULTILINE)
        assert sum(len(symbols.split()) for symbols in writes) == 8, shown
        states = Supervisor.find(self._state).states().values()
        assert len(states) == 11 and all(state.running for state in states), states
        redis = re.search(r"REDIS_URL=redis://[^:]+:(\d+)", (self._state / "env").read_text())
        web = re.search(r"Live page +http://[^:]+:(\d+)", shown)
        assert redis and web, shown
        self.ports = {"6379": int(redis[1]), "8000": int(web[1])}
        if ports.is_free(self.ports["8000"]):
            return False  # the page comes last
        self._make_stand_ins(redis[1])
        return True

    def _make_stand_ins(self, redis_port: str) -> None:
        """Wrap programs: redis-cli gets the stack's port, which a typed one overrides; others get their libraries."""
        begin = {"redis-cli": f"{find_cli()} -p {redis_port}"}
        for name in ("curl", "jq", "openssl"):
            if path := shutil.which(name):
                begin[name] = f"env LD_LIBRARY_PATH={libraries(path)['LD_LIBRARY_PATH']} {path}"
        self._stand_ins.mkdir()
        for name, words in begin.items():
            (self._stand_ins / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            (self._stand_ins / name).chmod(0o755)

    def _end(self) -> None:
        os.killpg(self._run.pid, signal.SIGINT)
        self._run.wait(30)


def _link_environment(folder: Path) -> None:
    """Make this process's virtual environment that of the checkout, so that `make` has nothing to install."""
    folder.mkdir()
    for path in Path(sys.prefix).iterdir():
        if not path.name.startswith("installed"):
            (folder / path.name).symlink_to(path)
    for name in ("installed", "installed-dev"):
        (folder / name).touch()


def free_ports(command: str, *usual: str) -> tuple[str, dict[str, int]]:
    """A command with free ports instead of the default ones, and the free port for each."""
    chosen: dict[str, int] = {}
    for port in usual:
        chosen[port] = ports.pick(taken=chosen.values())
        command = re.sub(rf"\b{port}\b", str(chosen[port]), command)
    return command, chosen
