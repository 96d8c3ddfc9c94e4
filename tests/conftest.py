"""Real servers for the tests: a shared Redis, and Redis servers of a test's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import hypothesis
import pytest
import redis
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tools.local.embedded_redis import EmbeddedRedis

# How long an example takes says more about the machine than about the product.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# The tests start hundreds of processes. Where nothing keeps the compiled code, each of them compiles all of it again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A scheduler that a test ticks would end pytest when nothing ticks it any more.
os.environ["NT_HANG_EXIT_S"] = "0"


ON_ONE_WORKER = ("tests/docs/", "tests/e2e/one_stack/", "tests/monitoring/live/", "tests/web/page/")
"""Folders whose modules share a stack, or a server and a browser. Each worker that runs one of them starts its own."""


class ByServer(LoadScopeScheduling):
    """Gives a worker a module at a time, or a whole folder that shares a server."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in ON_ONE_WORKER if nodeid.startswith(folder)), super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Replace the distribution by module, for which ``--dist loadscope`` asks."""
    return ByServer(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first, so that the short modules fill what is left at the end."""
    with_a_stack = {item.path for item in items if "e2e" in item.keywords}
    items.sort(key=lambda item: (not item.nodeid.startswith(ON_ONE_WORKER), item.path not in with_a_stack))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """One server for the whole run; use it through ``redis_client``, and never stop it."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def redis_client(redis_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """A client (bytes in, bytes out) of the shared server, which is empty at the test's start."""
    with redis_server.client() as client:
        client.flushall()
        client.script_flush()
        yield client


@pytest.fixture
def own_redis_server() -> Iterator[Callable[..., EmbeddedRedis]]:
    """Starts servers that the test may stop, kill, pause and start again: ``own_redis_server(append_only=True)``."""
    servers: list[EmbeddedRedis] = []

    def start(port: int | None = None, *, append_only: bool = False) -> EmbeddedRedis:
        server = EmbeddedRedis(port, append_only=append_only)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()
