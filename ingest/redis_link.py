"""A connection to Redis that is made again as often as it takes."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import redis.asyncio as redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    MasterDownError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from ingest.backoff import Backoff
from ingest.log_limit import LogLimit
from streams.append import Command, pack

logger = logging.getLogger(__name__)

IO_TIMEOUT_S = 1.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.05, 0.25
"""The longest is low on purpose: reports must be back within 2 s of Redis."""

_UNAVAILABLE = (ReadOnlyError, MasterDownError, ClusterDownError, TryAgainError, AuthenticationError)
_UNAVAILABLE_CODES = ("MISCONF", "NOREPLICAS")

AWAY = (RedisError, OSError, TimeoutError)
"""What a call raises when Redis is away."""


class Unavailable(RedisError):
    """This server cannot take writes now; the same may succeed a little later, or elsewhere."""


class RedisLink:
    """Sends commands in batches over one connection, and opens another when it fails.

    Parameters:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        use: called with the link whenever it is connected; writes until it raises one of `AWAY`.
    """

    def __init__(self, url: str, use: Callable[[RedisLink], Awaitable[None]]) -> None:
        self._client: redis.Redis = redis.Redis.from_url(
            url,
            client_name="ingest",
            # `exchange` has a time limit of its own. redis-py's is asyncio.wait_for, which before Python 3.12
            # may lose a cancellation: https://github.com/python/cpython/issues/86296
            socket_timeout=None,
            socket_connect_timeout=IO_TIMEOUT_S,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
        self._use = use
        self._connection: AbstractConnection | None = None
        self._logs = LogLimit()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        pool = self._client.connection_pool
        try:
            while True:
                try:
                    async with asyncio.timeout(2 * IO_TIMEOUT_S):
                        self._connection = await pool.get_connection()  # type: ignore[no-untyped-call]
                    backoff.reset()
                    await self._use(self)
                except AWAY as error:
                    if (held := self._logs.allows("away")) is not None:
                        cause = f"{type(error).__name__} {error}"
                        logger.warning("Redis is away", extra={"error": cause, "held_back": held})
                finally:
                    await self._give_back()
                await asyncio.sleep(backoff.next_s())
        finally:
            await self._client.aclose()

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send ``commands`` at once and return their replies in order; an error reply stands in its place.

        :raises redis.exceptions.RedisError, OSError, TimeoutError: not all replies came, or the
            server cannot take writes now. Any of the commands may have been carried out.
        """
        connection = self._connection
        if connection is None:
            raise Unavailable("not connected")
        replies: list[Any] = []
        async with asyncio.timeout(IO_TIMEOUT_S):
            await connection.send_packed_command(pack(commands), check_health=False)
            for _ in commands:
                try:
                    replies.append(await connection.read_response(timeout=math.inf))
                except ResponseError as error:
                    if isinstance(error, _UNAVAILABLE) or str(error).startswith(_UNAVAILABLE_CODES):
                        raise Unavailable(f"{type(error).__name__} {error}") from error
                    replies.append(error)
        return replies

    async def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._client.connection_pool.release(connection)
