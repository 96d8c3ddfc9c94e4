"""Reading from Redis, in all forms that ``REDIS_URL`` has: many commands, one round trip, and the server's time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis import asyncio as aioredis
from redis import exceptions
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel as SentinelManager
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff

from tickfence.redis_access.address import parse_cluster, parse_sentinel
from tickfence.redis_access.errors import UNAVAILABLE, cannot_serve

TIMEOUT_S = 2.0
_AT_ONCE = 16  # connections; further readers wait for one, within the same time limit

Command = tuple[str | int, ...]


class Unavailable(Exception):
    """Redis does not answer, or answers with an error; the text says which."""


class Unreadable(Unavailable):
    """Redis answers, but what stands there is not what tickfence writes; the text says where, and what."""


class DataPlane:
    """Reads, and nothing else.

    Example:
        >>> plane = DataPlane("redis://localhost:6379/0")
        >>> now_ms, [report] = await plane.read([("GET", "report:BTCUSDT")])  # doctest: +SKIP
    """

    def __init__(self, url: str) -> None:
        self._client = _client(url)
        self._places = asyncio.Semaphore(_AT_ONCE)

    @property
    def many_servers(self) -> bool:
        """Whether it is a cluster, in which one command reads keys of one slot only."""
        return isinstance(self._client, RedisCluster)

    async def read(self, commands: Sequence[Command]) -> tuple[int, list[Any]]:
        """The server's time in ms, and a reply for each command in redis-py's form, in order.

        Connections may have died while nobody used them, so a broken one is tried once more, with a new one.

        Raises:
            Unavailable: no answer within ``TIMEOUT_S``, or an error among the replies.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S), self._places:
                try:
                    found = await self._read(commands)
                except exceptions.ConnectionError:
                    await self._forget_connections()
                    found = await self._read(commands)
        except UNAVAILABLE as error:
            await self._forget_connections()
            raise Unavailable(f"Redis is away: {str(error) or f'no answer within {TIMEOUT_S:g} s'}") from error
        for reply in found[1]:
            if isinstance(reply, Exception):
                if cannot_serve(reply):
                    await self._forget_connections()  # another may be the master by now
                raise Unavailable(f"Redis refused to be read: {reply}") from reply
        return found

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _read(self, commands: Sequence[Command]) -> tuple[int, list[Any]]:
        if isinstance(self._client, RedisCluster):
            # In a pipeline of a cluster's client a command without a key has no address.
            await self._client.initialize()
            time = await self._client.execute_command("TIME", target_nodes=self._client.get_default_node())
            return _ms(time), await self._pipeline(commands) if commands else []
        time, *replies = await self._pipeline([("TIME",), *commands])
        if isinstance(time, Exception):
            raise time
        return _ms(time), replies

    async def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        pipe = self._client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        replies: list[Any] = await pipe.execute(raise_on_error=False)
        return replies

    async def _forget_connections(self) -> None:
        if isinstance(self._client, RedisCluster):
            await self._client.aclose()  # it opens, and learns the slots, anew with the next command
        else:
            await self._client.connection_pool.disconnect(inuse_connections=False)


def _ms(time: Any) -> int:
    seconds, microseconds = time
    return int(seconds) * 1000 + int(microseconds) // 1000


def _client(url: str) -> Any:
    options: dict[str, Any] = {
        "client_name": "web",
        # `DataPlane.read` has a time limit of its own. redis-py's is asyncio.wait_for, which before Python 3.12
        # may lose a cancellation: https://github.com/python/cpython/issues/86296
        "socket_timeout": None,
        "socket_connect_timeout": TIMEOUT_S,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
    }
    cluster = parse_cluster(url)
    if cluster is not None:
        nodes = [ClusterNode(host, port) for host, port in cluster.nodes]
        return RedisCluster(startup_nodes=nodes, username=cluster.username, password=cluster.password, **options)
    watched = parse_sentinel(url)
    if watched is None:
        return aioredis.Redis(connection_pool=aioredis.ConnectionPool.from_url(url, **options))
    account = {"username": watched.username, "password": watched.password}
    # What is not in sentinel_kwargs does not reach the Sentinels: redis-py would retry a dead one for seconds.
    asking = {"socket_timeout": TIMEOUT_S / 2, "socket_connect_timeout": TIMEOUT_S / 2, "retry": options["retry"]}
    manager = SentinelManager(list(watched.sentinels), sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    pool = SentinelConnectionPool(watched.service, manager, db=watched.db, **account, **options)  # type: ignore[no-untyped-call]
    return aioredis.Redis(connection_pool=pool)
