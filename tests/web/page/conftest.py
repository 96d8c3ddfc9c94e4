"""The page as it is served: a real server and Redis behind it, a real Chromium before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser

from tests.browser import chromium
from tests.web.page.scene import Scene
from tests.web.web_process import WebProcess
from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "ADAUSDT")


class Served:
    """`tickfence web` on a Redis with a scene in it.

    Attributes:
        origin: the page's address without a path.
        redis: the server behind it.
        scene: what is written there.
    """

    def __init__(self, redis: EmbeddedRedis, scene: Scene, variables: dict[str, str]) -> None:
        self.redis, self.scene = redis, scene
        self._port = ports.pick()
        self.origin = f"http://{ports.LOOPBACK}:{self._port}"
        self._variables = {"SYMBOLS": ",".join(SYMBOLS), "NT_RECORDINGS": "/nonexistent", **variables}
        self._web: WebProcess | None = None

    def start(self) -> None:
        """Start the web server, and wait until it answers."""
        self._web = WebProcess(self.redis.url(), port=self._port, **self._variables).wait_until_up()

    def stop(self) -> None:
        """Stop the web server; Redis and the scene go on."""
        if self._web is not None:
            with self._web:
                self._web.stop()
            self._web = None


@contextmanager
def serve(symbols: tuple[str, ...] = SYMBOLS, **variables: str) -> Iterator[Served]:
    """A server of its own, with variables of its own."""
    with EmbeddedRedis() as redis, redis.client() as client, Scene(client, symbols) as scene:
        served = Served(redis, scene, variables)
        try:
            served.start()
            yield served
        finally:
            served.stop()


@pytest.fixture(scope="package")
def served() -> Iterator[Served]:
    """One for all tests that leave it as it was."""
    with serve() as served:
        yield served


@pytest.fixture(scope="package")
def serving() -> Callable[..., object]:
    """Servers of the test's own: ``with serving(NT_WEB_TOKEN="...") as served``."""
    return serve


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser
