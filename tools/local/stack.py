"""Starts, watches and stops one stack of real processes.

>>> with Stack(Path("/tmp/lab"), os.environ) as stack:  # doctest: +SKIP
...     stack.start()
...     stack.kill("node-002")
...     stack.start_role("node-002")
"""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import socket
import time
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import redis

from tickfence.settings import Settings
from tools.local import ports, prometheus
from tools.local.embedded_redis import wait_until_ready
from tools.local.roles import Ports, Role, stack_environment, stack_roles, uses_other_exchange
from tools.local.supervision import RoleState, SupervisionError, Supervisor

READY_TIMEOUT_S = 15.0
_NOTICE_TIMEOUT_S = 5.0  # supervisord may take a second to notice that a process is gone
_POLL_S = 0.05


class AlreadyRunning(RuntimeError):
    """Another process runs a stack in this folder; the text is the one line to show."""


class Stack:
    """One stack in one folder.

    Parameters:
        state_dir: holds logs, Redis' files, addresses; made if missing. One running stack each.
        environment: what the roles get, apart from this stack's own addresses.
        where: ports to use; by default the usual ones where they are free.

    Raises:
        settings.BadSetting: a variable in ``environment`` is not accepted.
        local.embedded_redis.RedisUnavailable: there is no Redis server to run.
        AlreadyRunning: the folder's stack runs.
    """

    def __init__(self, state_dir: Path, environment: Mapping[str, str], where: Ports | None = None) -> None:
        self.settings = Settings.from_environment(environment)
        self.state_dir = state_dir = state_dir.resolve()
        state_dir.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(state_dir)
        try:
            _end_predecessor(state_dir)
            self.ports = where or Ports.choose()
            self.environment = stack_environment(environment, self.ports)
            data_dir = state_dir / "redis"
            data_dir.mkdir(exist_ok=True)
            simulate = not uses_other_exchange(environment)
            self.roles = stack_roles(self.settings, self.ports, data_dir, simulate=simulate)
            self._write_addresses()
            self._supervisor = Supervisor.launch(state_dir, self.roles, self.environment)
        except BaseException:
            self._lock.close()
            raise

    def start(self, names: Iterable[str] | None = None) -> None:
        """Start the named roles, or all, phase after phase, each ready before the next."""
        wanted = set(names) if names is not None else {role.name for role in self.roles}
        for _, phase in groupby(self.roles, attrgetter("phase")):
            for role in phase:
                if role.name in wanted:
                    self._supervisor.start(role.name)
                    self._wait_until_ready(role)

    def start_role(self, name: str) -> None:
        """Start one role that does not run, or was killed a moment ago."""
        deadline = time.monotonic() + _NOTICE_TIMEOUT_S
        while self.states()[name].running:
            if time.monotonic() > deadline:
                raise SupervisionError(f"{name} is running")
            time.sleep(_POLL_S)
        self._supervisor.start(name)

    def stop_roles(self, *names: str) -> None:
        """Stop the named roles together: SIGTERM, then SIGKILL after some seconds."""
        self._supervisor.stop(names)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a role's process a signal: SIGKILL, SIGSTOP, SIGCONT, ..."""
        self._supervisor.signal(name, number)

    def states(self) -> dict[str, RoleState]:
        """What each role is doing."""
        return self._supervisor.states()

    def log(self, name: str) -> str:
        """All that a role wrote."""
        path = self.state_dir / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def redis_client(self) -> redis.Redis:
        """A new client of the stack's data plane; the caller closes it."""
        return redis.Redis.from_url(self.environment["REDIS_URL"])

    def stop(self) -> None:
        """Stop everything, writers before what they write to, and leave no process behind."""
        try:
            for _, phase in groupby(reversed(self.roles), attrgetter("phase")):
                self._supervisor.stop(role.name for role in phase)
        except SupervisionError as error:
            print(f"{error}; killing what is left", flush=True)
        finally:
            self._supervisor.shutdown()
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _write_addresses(self) -> None:
        # With all that was set for the roles: a beat of other symbols, say, would not be one more of the same.
        names = [name.upper() for name in Settings.model_fields if name != "nt_web_token"]
        given = {name: self.environment[name] for name in names if self.environment.get(name)}
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in given.items()]
        (self.state_dir / "env").write_text("".join(lines))
        roles = [role.name for role in self.roles]
        measured = {role: port for role, port in self.ports.metrics.items() if role in roles}
        (self.state_dir / "prometheus.yml").write_text(prometheus.config(measured))

    def _wait_until_ready(self, role: Role) -> None:
        if role.name == "redis":
            wait_until_ready(self.ports.redis)
            return
        deadline = time.monotonic() + READY_TIMEOUT_S
        while role.listens_on is not None and not _answers(role.listens_on):
            state = self.states()[role.name]
            if not state.running or time.monotonic() > deadline:
                ends = self.log(role.name).strip()[-500:]
                raise SupervisionError(f"{role.name} is not ready ({state.state}); its log ends: {ends or 'empty'}")
            time.sleep(_POLL_S)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((ports.LOOPBACK, port)) == 0


def _lock(state_dir: Path) -> IO[str]:
    lock = (state_dir / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise AlreadyRunning(
            f"a stack already runs in this folder (process {holder}): stop it with Ctrl-C there, then try again"
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _end_predecessor(state_dir: Path) -> None:
    """A stack whose foreground process was killed may still be stopping; see it end."""
    try:
        predecessor = Supervisor.find(state_dir)
    except SupervisionError:
        return
    predecessor.shutdown()
