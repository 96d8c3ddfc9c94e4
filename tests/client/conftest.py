"""A web server with a token, on a Redis server that tests may pause, and both clients of it behind one face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.web.reporting import Cluster
from tests.web.web_process import WebProcess
from tickfence import AsyncClient, Client
from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis

TOKEN = "a-token-of-some-length"
SETTINGS = {
    # On a slow machine a report must still be fresh when it is asked for.
    **{"NT_REPORT_PERIOD_MS": "60000", "NT_SLOW_PERIOD_MS": "60000", "NT_LEASE_TTL_MS": "120000"},
    **{"SYMBOLS": "AAUSDT,BBUSDT,kraken:BTC/USD", "NT_WEB_TOKEN": TOKEN},
}


class InLoop:
    """`AsyncClient` used like `Client`: each call runs the loop until it is done."""

    def __init__(self, *given: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*given, **options)
        self._streams: list[Any] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *given, **options: self._runner.run(getattr(self._client, name)(*given, **options))

    def stream(self, *given: Any, **options: Any) -> Iterator[Any]:
        self._streams.append(self._client.stream(*given, **options))
        told = self._streams[-1]
        while True:
            yield self._runner.run(anext(told))

    def close(self) -> None:
        for told in self._streams:
            self._runner.run(told.aclose())
        self._runner.run(self._client.close())
        self._runner.close()


class Statuses(httpx2.HTTPTransport):
    """Remembers the status of each answer."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        self.seen.append(response.status_code)
        return response


@pytest.fixture(scope="module")
def data() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture(scope="module")
def server(data: EmbeddedRedis) -> Iterator[WebProcess]:
    with WebProcess(data.url(), **SETTINGS) as process:
        yield process.wait_until_up()


@pytest.fixture
def cluster(data: EmbeddedRedis) -> Iterator[Cluster]:
    with data.client() as client:
        client.flushall()
        yield Cluster(client)


def address(port: int) -> str:
    return f"http://{ports.LOOPBACK}:{port}"


@pytest.fixture(params=[Client, InLoop], ids=["sync", "async"])
def connect(request: pytest.FixtureRequest, server: WebProcess) -> Iterator[Callable[..., Any]]:
    """Makes a client, of the server with the token unless you say otherwise; a slow machine's reports are fresh for it."""
    made: list[Any] = []

    def make(**options: Any) -> Any:
        made.append(
            request.param(
                options.pop("url", address(server.port)), **{"token": TOKEN, "max_age": 60, "timeout": 60} | options
            )
        )
        return made[-1]

    yield make
    for client in made:
        client.close()
