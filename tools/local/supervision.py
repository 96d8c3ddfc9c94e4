"""Runs the roles under supervisord (https://supervisord.org) and speaks to it over its socket."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from supervisor.xmlrpc import Faults, SupervisorTransport

from tools.local import tied
from tools.local.roles import ROOT, Role

START_TIMEOUT_S = 15.0
SHUTDOWN_TIMEOUT_S = 20.0
ROLE_STOP_S = 4  # then supervisord kills it
_POLL_S = 0.05


class SupervisionError(RuntimeError):
    """supervisord did not start, is not there, or refused; the text is the one line to show."""


@dataclass(frozen=True)
class RoleState:
    """What supervisord knows of a role: ``state`` is its word (RUNNING, EXITED, STOPPED, ...)."""

    name: str
    state: str
    pid: int
    exit_status: int

    @property
    def running(self) -> bool:
        """Whether the role has a process."""
        return self.state in ("STARTING", "RUNNING", "STOPPING")


# Paths in state_dir are relative, and supervisord runs there: it expands a log's path twice, so an
# absolute one with "%" in it could not be given.
_SUPERVISORD = """\
; Written by tools/local/supervision.py at each start.
[unix_http_server]
file={socket}
chmod=0600
[supervisord]
nodaemon=true
silent=true
minfds=256
pidfile=supervisord.pid
logfile=logs/supervisord.log
logfile_backups=1
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{socket}
"""

# Nothing is restarted by itself: this is a place to watch what the others do when one dies.
_PROGRAM = """\
[program:{name}]
command={command}
directory={directory}
environment={environment}
priority={phase}
autostart=false
autorestart=false
startsecs=0
startretries=0
stopsignal=TERM
stopwaitsecs={stop_wait_s}
killasgroup=true
redirect_stderr=true
stdout_logfile=logs/{name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=1
"""


def config(socket: Path, roles: Iterable[Role]) -> str:
    """supervisord's configuration for ``roles``, to be read in the folder that holds ``logs/``."""
    text = _SUPERVISORD.format(socket=_literal(socket))
    for role in roles:
        text += _PROGRAM.format(
            name=role.name,
            command=_literal(shlex.join(_tied("KILL", role.command))),
            directory=_literal(ROOT),
            environment=",".join(f'{name}="{_literal(value)}"' for name, value in role.environment.items()),
            phase=role.phase,
            stop_wait_s=ROLE_STOP_S,
        )
    return text


class Supervisor:
    """One supervisord, from the process that started it (:meth:`launch`) or from another (:meth:`find`)."""

    def __init__(self, socket: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        self._socket = socket
        self._process = process
        self._last_pids: set[int] = set()

    @classmethod
    def launch(cls, state_dir: Path, roles: Iterable[Role], environment: Mapping[str, str]) -> Self:
        """Start supervisord with ``roles`` defined, none of them started."""
        logs = state_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        for log in logs.iterdir():
            log.unlink()  # each run's own
        if (stale := state_dir / "socket").exists():
            _remove_socket(Path(stale.read_text()))
        # A socket's path is limited to some 100 bytes, so it cannot live in a folder of any name.
        supervisor = cls(Path(tempfile.mkdtemp(prefix="tickfence-", dir="/tmp")) / "supervisor.sock")
        try:
            supervisor._launch(state_dir, roles, environment)
        except BaseException:
            supervisor.shutdown()
            raise
        return supervisor

    @classmethod
    def find(cls, state_dir: Path) -> Self:
        """The supervisord that runs ``state_dir``'s stack; :exc:`SupervisionError` if none does."""
        try:
            supervisor = cls(Path((state_dir / "socket").read_text()))
        except FileNotFoundError:
            supervisor = None
        if supervisor is None or not supervisor.answers():
            raise SupervisionError("the stack is not running here; start it with: make run")
        return supervisor

    def answers(self) -> bool:
        """Whether supervisord is there, be it only to end."""
        try:
            self._call("getState", accept=Faults.SHUTDOWN_STATE)
        except SupervisionError:
            return False
        return True

    def states(self) -> dict[str, RoleState]:
        """All roles by name."""
        states = {
            info["name"]: RoleState(info["name"], info["statename"], info["pid"], info["exitstatus"])
            for info in self._call("getAllProcessInfo")
        }
        self._last_pids = {state.pid for state in states.values() if state.pid}
        return states

    def start(self, name: str) -> None:
        """Start one role and wait until it has a process."""
        self._call("startProcess", name, True)

    def stop(self, names: Iterable[str]) -> None:
        """Stop roles together (SIGTERM, then SIGKILL after some seconds) and wait until they are gone."""
        states = self.states()
        waited_for = {name for name in names if states[name].running}
        for name in waited_for:
            self._call("stopProcess", name, False, accept=Faults.NOT_RUNNING)
        deadline = time.monotonic() + 2 * ROLE_STOP_S
        while any(state.running for state in self.states().values() if state.name in waited_for):
            if time.monotonic() > deadline:
                raise SupervisionError(f"supervisord did not stop {', '.join(sorted(waited_for))}")
            time.sleep(_POLL_S)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a role's process a signal, at once."""
        pid = self.states()[name].pid
        if not pid:
            raise SupervisionError(f"{name} is not running")
        os.kill(pid, number)

    def shutdown(self) -> None:
        """End supervisord and whatever it still runs, within bounds and without raising."""
        deadline = time.monotonic() + SHUTDOWN_TIMEOUT_S
        if self.answers():
            self._call("shutdown", accept=Faults.SHUTDOWN_STATE)
        while self.answers() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        if self._process is not None:
            try:
                self._process.wait(max(deadline - time.monotonic(), _POLL_S))
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.returncode != 0:
                self._kill_orphans()
        _remove_socket(self._socket)

    def _launch(self, state_dir: Path, roles: Iterable[Role], environment: Mapping[str, str]) -> None:
        (state_dir / "supervisord.conf").write_text(config(self._socket, roles))
        (state_dir / "socket").write_text(str(self._socket))
        command = (sys.executable, "-m", "supervisor.supervisord", "-n", "-c", "supervisord.conf")
        output = state_dir / "logs" / "supervisord.out"
        with output.open("wb") as out:
            self._process = subprocess.Popen(
                _tied("TERM", command),
                cwd=state_dir,
                env={**environment, "TIED_TO": str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for the process that stops the roles in order
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = output.read_text(errors="replace").strip()[-300:]
                raise SupervisionError(f"supervisord did not start; it said: {said or 'nothing'}")
            time.sleep(_POLL_S)

    def _kill_orphans(self) -> None:
        for pid in self._last_pids:
            try:
                # supervisord makes each role the leader of a process group.
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _call(self, method: str, *arguments: Any, accept: int | None = None) -> Any:
        transport = SupervisorTransport(serverurl=f"unix://{self._socket}")
        try:
            proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == accept:
                return None
            raise SupervisionError(f"supervisord refused {method}{arguments}: {fault.faultString}") from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise SupervisionError(f"supervisord does not answer: {error}") from error
        finally:
            transport.close()


def _remove_socket(socket: Path) -> None:
    # Gone already, or no socket's path at all: nothing that matters is left behind.
    with contextlib.suppress(OSError):
        socket.unlink(missing_ok=True)
        socket.parent.rmdir()


def _tied(last_word: str, command: Iterable[str]) -> list[str]:
    return [sys.executable, "-I", tied.__file__, last_word, *command]


def _literal(value: object) -> str:
    text = str(value)
    if re.search(r"\s[;#]|\n", text):
        # They begin a comment, and cannot be quoted.
        raise SupervisionError(f"{text!r} has ' ;' or ' #' in it, which supervisord's configuration cannot hold")
    return text.replace("%", "%%")
