"""Nodes and a market on the shared Redis server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from tasks.node import Node
from tests.tasks.cycle_runs import MakeNode, S, run
from tests.tasks.market import Market
from tests.tasks.workers import Workers
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis


@pytest.fixture
def node(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> MakeNode:
    """Makes nodes whose clock has seen the server."""

    def make(name: str = "node-001", **variables: str) -> Node:
        made = Node(
            Settings.from_environment({"REDIS_URL": redis_server.url(), "NT_LEASE_TTL_MS": "600000"} | variables), name
        )
        sent = time.monotonic()
        seconds, microseconds = redis_client.time()
        made.clock.observe(sent, time.monotonic(), seconds * 1000 + microseconds / 1000)
        return made

    return make


@pytest.fixture
def market(redis_client: redis.Redis) -> Market:
    """A market that a node knows to have all trades of."""
    one = Market(redis_client, S)
    one.trade(ahead_ms=-32 * 60_000)
    one.open()
    return one


class Apart(NamedTuple):
    """A node, and the Redis server that it alone uses."""

    server: EmbeddedRedis
    node: Node


@pytest.fixture
def apart(own_redis_server: Callable[..., EmbeddedRedis]) -> Apart:
    """A server that the test may stop, and a node that has written one report of its market there."""
    server = own_redis_server()
    one = Node(Settings.from_environment({"REDIS_URL": server.url()}), "node-001")
    with server.client() as client:
        Market(client, S).open()
    run(one)
    return Apart(server, one)


@pytest.fixture
def workers(own_redis_server: Callable[..., EmbeddedRedis], tmp_path: Path) -> Iterator[Workers]:
    server = own_redis_server()
    with server.client() as client:
        one = Workers(server, client, tmp_path)
        yield one
        one.close()
