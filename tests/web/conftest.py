"""A web server for the tests of its answers, on the Redis server that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.web.reporting import Cluster
from tests.web.web_process import WebProcess
from tools.local.embedded_redis import EmbeddedRedis


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared web server looks for recorded data: nowhere yet."""
    return tmp_path_factory.mktemp("recorded") / "recordings"


@pytest.fixture(scope="session")
def web_process(redis_server: EmbeddedRedis, recordings: Path) -> Iterator[WebProcess]:
    variables = {"SYMBOLS": "AAUSDT,BBUSDT", "NT_RECORDINGS": recordings}
    with WebProcess(redis_server.url(), **variables) as process:
        yield process.wait_until_up()


@pytest.fixture
def cluster(redis_client: redis.Redis) -> Cluster:
    """What the shared server holds: nothing yet."""
    return Cluster(redis_client)


@pytest.fixture
def web(web_process: WebProcess, cluster: Cluster) -> WebProcess:  # noqa: ARG001 - the server is empty then
    """The shared web server, asked for AAUSDT and BBUSDT, of which there is nothing yet."""
    return web_process
