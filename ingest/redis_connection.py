"""Opening connections to Redis: to one server, to the master that Sentinel names, to one node of a cluster."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from hiredis import PushNotification
from redis import exceptions
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel as SentinelManager
from redis.backoff import NoBackoff

from tickfence.redis_access.address import Sentinel, parse_sentinel
from tickfence.redis_access.errors import UNAVAILABLE

IO_TIMEOUT_S = 1.0
SENTINEL_TIMEOUT_S = 0.5

Address = tuple[str, int]
Open = Callable[[], Awaitable[AbstractConnection]]
"""Opens a connection to the server, wherever it is by then; raises one of `errors.UNAVAILABLE`."""


class Unavailable(exceptions.RedisError):
    """This server cannot take writes now; the same may succeed a little later, or elsewhere."""


def options() -> dict[str, Any]:
    """How ingest connects: no waits but its own, no retry but its own."""
    return {
        # Callers have time limits of their own. redis-py's is asyncio.wait_for, which before Python 3.12
        # may lose a cancellation: https://github.com/python/cpython/issues/86296
        "socket_timeout": None,
        "socket_connect_timeout": IO_TIMEOUT_S,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
    }


def to_redis(url: str) -> Open:
    """To the server at a ``redis://`` or ``rediss://`` URL, or to the master of a Sentinel one."""
    watched = parse_sentinel(url)
    if watched is not None:
        return _to_master(watched)
    pool = ConnectionPool.from_url(url, client_name="ingest", **options())
    return lambda: _opened(pool.make_connection())  # type: ignore[no-untyped-call]


def to_node(address: Address, username: str | None, password: str | None, db: int = 0) -> Open:
    """To the server at this host and port."""
    host, port = address
    kwargs: dict[str, Any] = {"host": host, "port": port, "db": db, "username": username, "password": password}
    return lambda: _opened(Connection(client_name="ingest", **kwargs, **options()))


def _to_master(watched: Sentinel) -> Open:
    sentinels = deque(watched.sentinels)

    async def find() -> Address:
        problems = []
        for _ in watched.sentinels:
            host, port = sentinels[0]
            try:
                manager = SentinelManager([(host, port)], sentinel_kwargs=options())  # type: ignore[no-untyped-call]
                async with asyncio.timeout(SENTINEL_TIMEOUT_S), manager:
                    master: Address = await manager.discover_master(watched.service)
                    return master
            except UNAVAILABLE as error:
                problems.append(f"{host}:{port}: {type(error).__name__} {error}")
                sentinels.rotate(-1)  # the next attempt, too, starts with another one
        raise Unavailable(f"no Sentinel names a master of {watched.service}: {'; '.join(problems)}")

    async def connect() -> AbstractConnection:
        return await to_node(await find(), watched.username, watched.password, watched.db)()

    return connect


async def read_replies(connection: AbstractConnection, count: int) -> list[Any]:
    """The next ``count`` replies; an error reply stands in its place.

    As redis-py's own ``read_response`` for each of them, which costs ten times as much: it is entered once a reply,
    here the parser is asked for all that is at hand.

    :raises redis.exceptions.ConnectionError: the connection ended, or the server wants it ended.
    """
    parser: Any = connection._parser
    next_reply = parser._reader.gets
    replies: list[Any] = []
    while len(replies) < count:
        reply = next_reply()
        if type(reply) is bytes:
            replies.append(reply)
        elif reply is NOT_ENOUGH_DATA:
            await parser.read_from_socket()
        elif isinstance(reply, exceptions.ConnectionError):
            raise reply
        elif not isinstance(reply, PushNotification):
            replies.append(reply)
    return replies


async def _opened(connection: AbstractConnection) -> AbstractConnection:
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection
