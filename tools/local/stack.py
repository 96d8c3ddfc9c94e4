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
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import IO, Self

import redis

from tickfence.settings import Settings
from tools.local import prometheus
from tools.local.roles import Ports, stack_environment, stack_roles, uses_other_exchange
from tools.local.supervision import RoleState, SupervisionError, Supervisor

_NOTICE_TIMEOUT_S = 5.0  # supervisord may take a second to notice that a process is gone


class AlreadyRunning(RuntimeError):
    """Another process runs a stack in this folder; the message is one line to show."""


class NotWritable(RuntimeError):
    """The folder of a stack cannot be written; the message is one line to show."""


class Stack:
    """One stack in one folder.

    Args:
        state_dir: for logs, the files of Redis and the addresses; created if missing. It holds one running stack.
        environment: what the roles get, apart from the addresses of this stack.
        where: ports to use; by default the usual ones where they are free.
        record: whether two recorders write what comes to files.

    Attributes:
        recordings: where recorded market data is: ``NT_RECORDINGS`` of ``environment``, or else a folder in
            ``state_dir``. It stays when the stack ends.

    Raises:
        BadSetting: a variable in ``environment`` is not accepted.
        RedisUnavailable: there is no Redis server to run.
        AlreadyRunning: a stack runs in this folder.
        NotWritable: the folder cannot be used.
    """

    def __init__(
        self, state_dir: Path, environment: Mapping[str, str], where: Ports | None = None, *, record: bool = False
    ) -> None:
        self.settings = Settings.from_environment(environment)
        self.state_dir = state_dir = state_dir.resolve()
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(state_dir)
        except OSError as error:
            raise NotWritable(f"{state_dir}: cannot be written: {error.strerror}") from error
        try:
            _end_predecessor(state_dir)
            self.ports = where or Ports.choose()
            self.recordings = environment.get("NT_RECORDINGS") or str(state_dir / "recordings")
            # Also without recorders: what was recorded before can be read.
            self.environment = stack_environment(environment, self.ports) | {"NT_RECORDINGS": self.recordings}
            data_dir = state_dir / "redis"
            data_dir.mkdir(exist_ok=True)
            simulate = not uses_other_exchange(environment)
            to = self.recordings if record else None
            self.roles = stack_roles(self.settings, self.ports, data_dir, simulate=simulate, recordings=to)
            self._write_addresses()
            self._supervisor = Supervisor.launch(state_dir, self.roles, self.environment)
        except BaseException:
            self._lock.close()
            raise

    def start(self, names: Iterable[str] | None = None) -> None:
        """Start roles phase after phase, each ready before the next one.

        Args:
            names: which ones; all by default.

        Raises:
            SupervisionError: a role is not ready in time.
        """
        wanted = set(names) if names is not None else {role.name for role in self.roles}
        self._supervisor.start_in_order(role for role in self.roles if role.name in wanted)

    def start_role(self, name: str) -> None:
        """Start one role that does not run, or was killed a moment ago.

        Raises:
            SupervisionError: it runs.
        """
        self._supervisor.await_end(name, _NOTICE_TIMEOUT_S)
        self._supervisor.start(name)

    def stop_roles(self, *names: str) -> None:
        """Stop the named roles together: SIGTERM, then SIGKILL after some seconds."""
        self._supervisor.stop(names)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a role's process a signal: SIGKILL, SIGSTOP, SIGCONT, ..."""
        self._supervisor.signal(name, number)

    def states(self) -> dict[str, RoleState]:
        """All roles by name."""
        return self._supervisor.states()

    def log(self, name: str) -> str:
        """Everything that a role has written to its log."""
        return self._supervisor.log(name)

    def redis_client(self) -> redis.Redis:
        """A new client of the stack's data plane; the caller closes it."""
        return redis.Redis.from_url(self.environment["REDIS_URL"])

    def stop(self) -> None:
        """Stop everything, writers before Redis, and leave no process behind."""
        try:
            for _, phase in groupby(reversed(self.roles), attrgetter("phase")):
                self._supervisor.stop(role.name for role in phase)
        except SupervisionError as error:
            print(f"{error}; killing the rest", flush=True)
        finally:
            self._supervisor.shutdown()
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _write_addresses(self) -> None:
        # All settings of the roles: a beat that is started by hand must have the same symbols, for example.
        names = [name.upper() for name in Settings.model_fields if name != "nt_web_token"]
        given = {name: self.environment[name] for name in names if self.environment.get(name)}
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in given.items()]
        (self.state_dir / "env").write_text("".join(lines))
        roles = [role.name for role in self.roles]
        measured = {role: port for role, port in self.ports.metrics.items() if role in roles}
        (self.state_dir / "prometheus.yml").write_text(prometheus.config(measured))


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
    """Wait for the end of a stack whose foreground process was killed: it may still be stopping."""
    try:
        predecessor = Supervisor.find(state_dir)
    except SupervisionError:
        return
    predecessor.shutdown()
