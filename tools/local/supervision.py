"""Runs the roles under supervisord (https://supervisord.org), which it controls over a Unix socket."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

from supervisor.xmlrpc import Faults, SupervisorTransport

from tools.local import ports
from tools.local.parent_death import ends_with_parent
from tools.local.roles import Role
from tools.local.supervisord_config import ROLE_STOP_S, config

START_TIMEOUT_S = 15.0
READY_TIMEOUT_S = 20.0
SHUTDOWN_TIMEOUT_S = 20.0
_POLL_S = 0.05


class SupervisionError(RuntimeError):
    """supervisord or a role does not do what it should; the message is one line to show."""


@dataclass(frozen=True)
class RoleState:
    """What supervisord knows about a role.

    Attributes:
        name: the role.
        state: supervisord's word: RUNNING, EXITED, STOPPED, ...
        pid: its process, 0 without one.
        exit_status: of the last process that ended; -1 after a signal.
    """

    name: str
    state: str
    pid: int
    exit_status: int

    @property
    def running(self) -> bool:
        """Whether the role has a process."""
        return self.state in ("STARTING", "RUNNING", "STOPPING")


class Supervisor:
    """One supervisord, seen from the process that started it (:meth:`launch`) or from another one (:meth:`find`)."""

    def __init__(self, state_dir: Path, socket: Path) -> None:
        self._state_dir = state_dir
        self._socket = socket
        self._process: subprocess.Popen[bytes] | None = None
        self._last_pids: set[int] = set()

    @classmethod
    def launch(cls, state_dir: Path, roles: Iterable[Role], environment: Mapping[str, str]) -> Self:
        """Start supervisord with ``roles`` defined but not started.

        Args:
            state_dir: for its configuration and all logs; old logs are removed.
            roles: what it can start.
            environment: what every role gets, apart from its own variables.

        Raises:
            SupervisionError: supervisord does not start.
        """
        logs = state_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        for log in logs.iterdir():
            log.unlink()
        if (stale := state_dir / "socket").exists():
            _remove_socket(Path(stale.read_text()))
        # A socket's path is limited to about 100 bytes, and state_dir may be longer.
        supervisor = cls(state_dir, Path(tempfile.mkdtemp(prefix="tickfence-", dir="/tmp")) / "supervisor.sock")
        try:
            supervisor._launch(roles, environment)
        except BaseException:
            supervisor.shutdown()
            raise
        return supervisor

    @classmethod
    def find(cls, state_dir: Path) -> Self:
        """The supervisord of the stack in ``state_dir``, started by another process.

        Raises:
            SupervisionError: none runs there.
        """
        try:
            supervisor = cls(state_dir, Path((state_dir / "socket").read_text()))
        except FileNotFoundError:
            supervisor = None
        if supervisor is None or not supervisor.answers():
            raise SupervisionError("the stack is not running here; start it with: make run")
        return supervisor

    def answers(self) -> bool:
        """Whether supervisord runs, also while it shuts down."""
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

    def log(self, name: str) -> str:
        """Everything that a role has written to its log."""
        path = self._state_dir / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self, name: str) -> None:
        """Start one role and wait until it has a process."""
        self._call("startProcess", name, True)

    def start_in_order(self, roles: Iterable[Role], timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start roles phase after phase; one that listens on a port must answer before the next role starts.

        Args:
            roles: what to start, in any order.
            timeout_s: how long to wait for each port.

        Raises:
            SupervisionError: a role ends, or does not answer in time.
        """
        for _, phase in groupby(sorted(roles, key=attrgetter("phase")), attrgetter("phase")):
            for role in phase:
                self.start(role.name)
                self._await_port(role, timeout_s)

    def await_end(self, name: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until a role has no process any more. supervisord may take a second to notice.

        Raises:
            SupervisionError: it still runs after ``timeout_s``.
        """
        deadline = time.monotonic() + timeout_s
        while self.states()[name].running:
            if time.monotonic() > deadline:
                raise SupervisionError(f"{name} still runs after {timeout_s:g} s")
            time.sleep(_POLL_S)

    def stop(self, names: Iterable[str]) -> None:
        """Stop roles together (SIGTERM, SIGKILL after :data:`ROLE_STOP_S`) and wait until they have ended.

        Raises:
            SupervisionError: one of them still runs.
        """
        states = self.states()
        running = [name for name in names if states[name].running]
        for name in running:
            self._call("stopProcess", name, False, accept=Faults.NOT_RUNNING)
        for name in running:
            self.await_end(name, 2 * ROLE_STOP_S)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a role's process a signal.

        Raises:
            SupervisionError: the role has no process.
        """
        pid = self.states()[name].pid
        if not pid:
            raise SupervisionError(f"{name} is not running")
        os.kill(pid, number)

    def shutdown(self) -> None:
        """End supervisord and all that it still runs, within :data:`SHUTDOWN_TIMEOUT_S`."""
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

    def _launch(self, roles: Iterable[Role], environment: Mapping[str, str]) -> None:
        state_dir = self._state_dir
        try:
            (state_dir / "supervisord.conf").write_text(config(self._socket, roles))
        except ValueError as error:
            raise SupervisionError(str(error)) from error
        (state_dir / "socket").write_text(str(self._socket))
        command = (sys.executable, "-m", "supervisor.supervisord", "-n", "-c", "supervisord.conf")
        output = state_dir / "logs" / "supervisord.out"
        with output.open("wb") as out:
            self._process = subprocess.Popen(
                ends_with_parent("TERM", command),
                cwd=state_dir,
                env={**environment, "PARENT_PID": str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must not reach it: its parent stops the roles in order
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = output.read_text(errors="replace").strip()[-300:]
                raise SupervisionError(f"supervisord did not start; it said: {said or 'nothing'}")
            time.sleep(_POLL_S)

    def _await_port(self, role: Role, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while role.listens_on is not None and ports.is_free(role.listens_on):
            state = self.states()[role.name]
            if not state.running or time.monotonic() > deadline:
                end = self.log(role.name).strip()[-500:]
                raise SupervisionError(f"{role.name} is not ready ({state.state}); its log ends: {end or 'empty'}")
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
    # It may be gone already, or name no socket at all.
    with contextlib.suppress(OSError):
        socket.unlink(missing_ok=True)
        socket.parent.rmdir()
