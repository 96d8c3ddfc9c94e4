"""A real RabbitMQ of a test's own, on loopback ports, with nothing of it left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from kombu import Connection

from tests.processes import wait_until
from tools.local import ports

# Debian's command for the PATH changes user and environment; the server's own script does not.
_DEBIAN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_START_S = 60.0


def find_server() -> str | None:
    """The program that starts a RabbitMQ, or ``None`` if it or Erlang's port mapper is not installed."""
    found = str(_DEBIAN) if _DEBIAN.exists() else shutil.which("rabbitmq-server")
    return found if shutil.which("epmd") else None


class RabbitMQ:
    """One server with its own Erlang port mapper, data and node name.

    Attributes:
        url: for ``CELERY_BROKER_URL``.
    """

    def __init__(self, *configuration: str) -> None:
        taken: list[int] = []
        for _ in range(3):
            taken.append(ports.pick(taken=taken))
        self.port, distribution, mapper = taken
        self.url = f"amqp://guest:guest@{ports.LOOPBACK}:{self.port}"
        self._folder = Path(tempfile.mkdtemp(prefix="tickfence-rabbitmq-"))
        (self._folder / "plugins").write_text("[].")
        (self._folder / "rabbitmq.conf").write_text(
            "\n".join([f"listeners.tcp.1 = {ports.LOOPBACK}:{self.port}", *configuration, ""])
        )
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")} | {
            "HOME": str(self._folder),
            "ERL_EPMD_ADDRESS": ports.LOOPBACK,
            "ERL_EPMD_PORT": str(mapper),
            "RABBITMQ_NODENAME": f"tickfence-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
        }
        self._server: subprocess.Popen[bytes] | None = None
        self._mapper = self._run("epmd")
        try:
            wait_until(lambda: ports.answers(mapper), "Erlang's port mapper")
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process group of the server."""
        assert self._server is not None
        return self._server.pid

    def start(self) -> None:
        """Start it with the data it had, and wait until it accepts connections."""
        self._server = self._run(str(find_server()))
        wait_until(self._accepts_connections, self._said, _START_S, every_s=0.02)

    def kill(self) -> None:
        """End it as a crash would."""
        os.killpg(self.pid, signal.SIGKILL)
        assert self._server is not None
        self._server.wait()
        self._server = None

    def shown_by(self, command: str) -> str:
        """Output of a command of RabbitMQ's command line about this server."""
        path = {"PATH": f"{_DEBIAN.parent}:{os.environ['PATH']}"}
        words = command.split()
        done = subprocess.run(words, env=self._environment | path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.killpg(self.pid, number)

    def close(self) -> None:
        """End it, and remove its files."""
        if self._server is not None:
            self.kill()
        self._mapper.kill()
        self._mapper.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def connect(self) -> Connection:
        """A new connection."""
        connection = Connection(self.url, connect_timeout=1, transport_options={"read_timeout": 5})
        connection.connect()
        return connection

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / "output").open("ab") as output:
            return subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the script's children end with it
            )

    def _accepts_connections(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, self._said()
        if not ports.answers(self.port):
            return False
        try:
            self.connect().close()
        except OSError:
            return False
        return True

    def _said(self) -> str:
        return f"RabbitMQ to start: {(self._folder / 'output').read_text(errors='replace')[-2000:]}"
