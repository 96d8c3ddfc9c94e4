"""Starting ``python -m web`` as a process of its own, and asking it over real sockets."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from local import ports
from tests.processes import wait_until

ROOT = Path(__file__).parents[2]


class Answer(NamedTuple):
    """What came back; ``json`` is None where the body is none."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Stream:
    """The events of one server-sent stream."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self.connection, self.response = connection, response

    def events(self) -> Iterator[tuple[str, Any]]:
        """(event, data) of each, as they come; comments are left out."""
        name = ""
        while line := self.response.readline():
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)

    def until(self, *names: str) -> Any:
        """The data of the next event of one of these names."""
        return next(data for name, data in self.events() if name in names)


class WebProcess:
    """A running web server; ends with the ``with`` block."""

    def __init__(self, redis_url: str, *arguments: str, port: int | None = None, **variables: object) -> None:
        self.port = port or ports.pick()
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NT_")}
        environment |= {"REDIS_URL": redis_url, **{name: str(value) for name, value in variables.items()}}
        command = [sys.executable, "-m", "web", "--port", str(self.port), *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=self._errors, text=True)

    def wait_until_up(self) -> Self:
        """Return once it answers."""

        def up() -> bool:
            assert self.process.poll() is None, self.log_text()
            with socket.socket() as probe:
                return probe.connect_ex((ports.LOOPBACK, self.port)) == 0

        wait_until(up, lambda: f"web answers; its log: {self.log_text()}", 60)
        return self

    def get(self, path: str, *, method: str = "GET", timeout_s: float = 20, **headers: str) -> Answer:
        """One request with the path exactly as given; ``User_Agent="x"`` is the header User-Agent."""
        connection = http.client.HTTPConnection(ports.LOOPBACK, self.port, timeout=timeout_s)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def status(self, path: str) -> int:
        """The status of the answer, whose body need not end."""
        connection = http.client.HTTPConnection(ports.LOOPBACK, self.port, timeout=20)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    @contextmanager
    def stream(self, path: str = "/stream", **headers: str) -> Iterator[Stream]:
        """An open stream."""
        connection = http.client.HTTPConnection(ports.LOOPBACK, self.port, timeout=20)
        try:
            connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            yield Stream(connection, response)
        finally:
            connection.close()

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
