"""Replies read from redis-py's parser, a private part of it, are those that redis-py reads; errors are told apart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import redis
from redis import exceptions

from tests.redis_groups import ClusterGroup
from tickfence.redis_access.address import parse_cluster
from tickfence.redis_access.command import Command
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.raw_connection import RawConnection, opener
from tickfence.redis_access.raw_pipeline import exchange
from tickfence.redis_access.slots import read_masters
from tickfence.streams.append import pack
from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis

LONG = b"x" * 200_000
"""Comes in several pieces."""

COMMANDS: list[Command] = [
    ("DEL", "key", "list"),
    ("SET", "key", LONG),
    ("INCR", "key"),
    ("GET", "key"),
    ("GET", "no such key"),
    ("NO SUCH COMMAND",),
    ("RPUSH", "list", "a", "b"),
    ("LRANGE", "list", 0, -1),
    ("XRANGE", "no such key", "-", "+"),
    ("EVALSHA", "0" * 40, 0),
    ("PING",),
]


def connected(url: str, test: Callable[[RawConnection], Awaitable[Any]]) -> Any:
    """What ``test`` returns, called with an open connection."""

    async def run() -> Any:
        connection = await opener(url, name="test")()
        try:
            return await test(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def replies_to(url: str, commands: Sequence[Command]) -> list[Any]:
    return connected(url, lambda connection: connection.exchange(pack(commands), len(commands)))


def comparable(reply: object) -> object:
    return (type(reply), str(reply)) if isinstance(reply, Exception) else reply


def test_replies_are_those_that_redis_py_reads(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    replies = replies_to(redis_server.url(), COMMANDS)
    assert replies[3] == LONG
    expected = exchange(redis_client, COMMANDS)
    assert [comparable(reply) for reply in replies[1:]] == [comparable(reply) for reply in expected[1:]]


def test_messages_that_answer_no_command_are_left_out(redis_server: EmbeddedRedis) -> None:
    commands: list[Command] = [
        ("HELLO", 3),
        ("CLIENT", "TRACKING", "ON"),
        ("GET", "key"),
        ("SET", "key", "new"),
        ("GET", "key"),
    ]

    async def test(connection: RawConnection) -> None:
        replies = await connection.exchange(pack(commands), len(commands))
        assert replies[3:] == [b"OK", b"new"]
        assert await connection.exchange(pack([("PING",)]), 1) == [b"PONG"]

    connected(redis_server.url(), test)


def test_a_connection_that_ends_amid_the_replies_raises(redis_server: EmbeddedRedis) -> None:
    with pytest.raises(REDIS_ERRORS):
        connected(redis_server.url(), lambda connection: connection.exchange(pack([("PING",), ("QUIT",)]), 3))


def test_a_server_that_does_not_answer_is_given_up_in_time(redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        connection = await opener(redis_server.url(), name="test", timeout_s=0.1)()
        with pytest.raises(TimeoutError):
            await connection.exchange(pack([("BLPOP", "nothing", 0.15)]), 1)
        with pytest.raises(TimeoutError):  # the late reply is not taken for that to another command
            await connection.exchange(pack([("PING",)]), 1)
        await connection.close()

    asyncio.run(test())


def test_a_connection_that_ended_between_two_exchanges_raises(redis_server: EmbeddedRedis) -> None:
    async def test(connection: RawConnection) -> None:
        assert await connection.exchange(pack([("QUIT",)]), 1) == [b"OK"]
        with pytest.raises(REDIS_ERRORS):
            await connection.exchange(pack([("PING",)]), 1)
        with pytest.raises(REDIS_ERRORS):
            await connection.exchange(pack([("PING",)]), 1)

    connected(redis_server.url(), test)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(REDIS_ERRORS):
        replies_to(f"redis://127.0.0.1:{ports.pick(None)}/0", [("PING",)])


@pytest.mark.parametrize(("setting", "bad", "good"), [("maxmemory", "1", "0"), ("min-replicas-to-write", "1", "0")])
def test_a_refusal_by_the_server_is_raised(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, setting: str, bad: str, good: str
) -> None:
    write: Command = ("SET", "key", "value")
    assert replies_to(redis_server.url(), [write]) == [b"OK"]
    redis_client.config_set(setting, bad)
    try:
        with pytest.raises(exceptions.ResponseError):
            replies_to(redis_server.url(), [write])
    finally:
        redis_client.config_set(setting, good)
    assert replies_to(redis_server.url(), [write]) == [b"OK"]


def test_a_node_of_a_cluster_tells_the_master_of_each_key() -> None:
    symbols = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "ADAUSDT", "DOTUSDT")
    keys = [f"md:{{{symbol}}}:book" for symbol in symbols]
    with ClusterGroup() as group:
        cluster = parse_cluster(group.url)
        assert cluster is not None
        expected = [(ports.LOOPBACK, group.masters[group.master_of(symbol)].port) for symbol in symbols]
        for node in cluster.nodes:
            url = cluster.node_url(node)
            assert connected(url, lambda connection, node=node: read_masters(connection, node[0], keys)) == expected


def test_a_server_that_is_no_cluster_tells_no_masters(redis_server: EmbeddedRedis) -> None:
    with pytest.raises(exceptions.ResponseError, match="cluster support disabled"):
        connected(redis_server.url(), lambda connection: read_masters(connection, ports.LOOPBACK, ["key"]))
