"""Starting ``tickfence web`` as a process of its own, and asking it over real sockets."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from tests.processes import wait_until
from tests.role_process import RoleProcess
from tools.local import ports


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


class WebProcess(RoleProcess):
    """A running web server."""

    def __init__(self, redis_url: str, *arguments: str, port: int | None = None, **variables: object) -> None:
        self.port = port or ports.pick()
        command = ("tickfence", "web", "--port", str(self.port))
        self.metrics_port = 0
        super().__init__(*command, *arguments, **{"REDIS_URL": redis_url, "NT_METRICS_PORT": 0} | variables)

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
            connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
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
