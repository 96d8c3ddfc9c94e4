"""Replies read straight from redis-py's parser, a private part of it, are those that redis-py itself reads."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, RedisError

from ingest.redis_connection import read_replies, to_redis
from tickfence.streams import append
from tools.local.embedded_redis import EmbeddedRedis

LONG = b"x" * 200_000
"""Comes in several pieces."""

COMMANDS: list[append.Command] = [
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


async def by_redis_py(connection: AbstractConnection) -> object:
    try:
        return await connection.read_response(disconnect_on_error=False)
    except RedisError as error:
        return error


def comparable(reply: object) -> object:
    return (type(reply), str(reply)) if isinstance(reply, Exception) else reply


def test_replies_are_those_that_redis_py_reads(redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        connection = await to_redis(redis_server.url())()
        try:
            await connection.send_packed_command(append.pack(COMMANDS), check_health=False)
            replies = await read_replies(connection, len(COMMANDS))
            await connection.send_packed_command(append.pack(COMMANDS), check_health=False)
            expected = [await by_redis_py(connection) for _ in COMMANDS]
        finally:
            await connection.disconnect(nowait=True)
        assert replies[3] == LONG
        assert [comparable(reply) for reply in replies[1:]] == [comparable(reply) for reply in expected[1:]]

    asyncio.run(test())


def test_messages_that_answer_no_command_are_left_out(redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        connection = await to_redis(redis_server.url())()
        commands: list[append.Command] = [
            ("HELLO", 3),
            ("CLIENT", "TRACKING", "ON"),
            ("GET", "key"),
            ("SET", "key", "new"),
            ("GET", "key"),
        ]
        try:
            await connection.send_packed_command(append.pack(commands), check_health=False)
            replies = await read_replies(connection, len(commands))
            await connection.send_packed_command(append.pack([("PING",)]), check_health=False)
            assert await read_replies(connection, 1) == [b"PONG"]
        finally:
            await connection.disconnect(nowait=True)
        assert replies[3:] == [b"OK", b"new"]

    asyncio.run(test())


def test_a_connection_that_ends_amid_the_replies_raises(redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        connection = await to_redis(redis_server.url())()
        try:
            await connection.send_packed_command(append.pack([("PING",), ("QUIT",)]), check_health=False)
            with pytest.raises(ConnectionError):
                await read_replies(connection, 3)
        finally:
            await connection.disconnect(nowait=True)

    asyncio.run(test())
