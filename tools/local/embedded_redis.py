"""A real Redis server on a loopback port, for one stack or one test.

>>> with EmbeddedRedis() as server:  # doctest: +SKIP
...     redis.Redis.from_url(server.url()).ping()
True
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tools.local import ports

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0

_BESIDE_PYTHON = str(Path(sys.executable).parent)
"""Where tools/local/install.sh puts the server that it fetches or builds for a machine without one."""

_MISSING = (
    "no Redis server found: install one (Debian: apt-get install redis-server; macOS: brew install redis), "
    "or remove .venv/installed* so that make fetches one"
)


class RedisUnavailable(RuntimeError):
    """No server program was found, or it did not start; the message is one line to show."""


def find_server() -> str:
    """Path of a Redis or Valkey server: on the PATH, else the one that the set-up fetched.

    Raises:
        RedisUnavailable: there is none; the message says what to install.
    """
    found = _find("redis-server", "valkey-server")
    if found is None:
        raise RedisUnavailable(_MISSING)
    return found


def find_cli() -> str | None:
    """Path of ``redis-cli`` or ``valkey-cli``: on the PATH, else the one that the set-up fetched, else None."""
    return _find("redis-cli", "valkey-cli")


def _find(*names: str) -> str | None:
    places = (None, _BESIDE_PYTHON)  # None: the PATH
    return next((path for place in places for name in names if (path := shutil.which(name, path=place))), None)


def server_command(port: int, data_dir: Path, *, append_only: bool = False) -> list[str]:
    """The command that runs a server on a loopback port.

    Args:
        port: where it listens.
        data_dir: for its files.
        append_only: whether it writes every change to disk; otherwise it writes nothing.

    Raises:
        RedisUnavailable: there is no server to run.
    """
    return [
        *(find_server(), "--port", str(port), "--bind", ports.LOOPBACK, "--dir", str(data_dir)),
        *("--save", "", "--appendonly", "yes" if append_only else "no", "--appendfsync", "always"),
        *("--daemonize", "no", "--databases", "16"),
    ]


def wait_until_ready(
    port: int, *, timeout_s: float = START_TIMEOUT_S, process: subprocess.Popen[bytes] | None = None
) -> None:
    """Wait until the server on a loopback port answers ``PING``.

    Args:
        port: where it listens.
        timeout_s: how long to wait.
        process: the server, if it must be this process that answers.

    Raises:
        RedisUnavailable: no answer in time, or ``process`` has ended.
    """
    deadline = time.monotonic() + timeout_s
    with redis.Redis(host=ports.LOOPBACK, port=port, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
        while True:
            try:
                client.ping()
                if process is None or client.info("server")["process_id"] == process.pid:
                    return
                problem = "another server answers there"
            except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError) as error:
                # A server that loads its data refuses PING with BusyLoadingError, a ConnectionError.
                problem = str(error)
            if process is not None and process.poll() is not None:
                raise RedisUnavailable(f"Redis on {ports.LOOPBACK}:{port} ended with status {process.returncode}")
            if time.monotonic() > deadline:
                raise RedisUnavailable(
                    f"Redis on {ports.LOOPBACK}:{port} did not answer PING within {timeout_s:g} s: {problem}"
                )
            time.sleep(0.01)


class EmbeddedRedis:
    """A real Redis server process on a loopback port.

    The port stays the same over restarts, so that clients can reconnect. Data survives ``stop(save=True)``, and with
    ``append_only`` also ``kill()``. Otherwise the server is empty after a restart.

    Args:
        port: where to listen; a free port by default.
        append_only: write every change to disk before answering.
        options: further options of the server's command line.
    """

    def __init__(self, port: int | None = None, *, append_only: bool = False, options: Sequence[str] = ()) -> None:
        self.port = ports.pick(port) if port is None else port
        self.process: subprocess.Popen[bytes] | None = None
        self._append_only = append_only
        self._options = options
        self._data_dir = Path(tempfile.mkdtemp(prefix="tickfence-redis-"))

    def url(self, db: int = 0) -> str:
        """The server's URL, for redis-py or Celery."""
        return f"redis://{ports.LOOPBACK}:{self.port}/{db}"

    def client(self, db: int = 0) -> redis.Redis:
        """A new client; the caller closes it."""
        return redis.Redis(host=ports.LOOPBACK, port=self.port, db=db)

    def start(self) -> None:
        """Start the server with the data that its last stop kept, and wait until it answers.

        Raises:
            RedisUnavailable: it does not start.
        """
        if self.process is not None:
            raise RuntimeError(f"the Redis server on port {self.port} runs already")
        log = self._data_dir / "redis.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*server_command(self.port, self._data_dir, append_only=self._append_only), *self._options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until_ready(self.port, process=self.process)
        except RedisUnavailable as error:
            self._signal(signal.SIGKILL)
            raise RedisUnavailable(f"{error}; its log ends: {log.read_text(errors='replace')[-500:]}") from error

    def stop(self, *, save: bool = False) -> None:
        """Shut down in order; with ``save`` the next start has the same data, otherwise none."""
        if save:
            with self.client() as client:
                client.save()
        else:
            (self._data_dir / "dump.rdb").unlink(missing_ok=True)
            if self._append_only:
                with self.client() as client:
                    client.flushall()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL)."""
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): connections stay open, nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a frozen server (SIGCONT)."""
        self._running().send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server if it runs, and remove its files."""
        if self.process is not None:
            self._signal(signal.SIGKILL)
        shutil.rmtree(self._data_dir, ignore_errors=True)

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise RuntimeError(f"the Redis server on port {self.port} is not running")
        return self.process

    def _signal(self, number: signal.Signals) -> None:
        process = self._running()
        process.send_signal(number)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.process = None
