"""A connection to Redis that is made again as often as it takes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection

from ingest.backoff import Backoff
from ingest.log_limit import LogLimit
from ingest.redis_connection import IO_TIMEOUT_S, Open, Unavailable, read_replies
from tickfence.redis_access.errors import UNAVAILABLE, cannot_serve

logger = logging.getLogger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 0.05, 0.25
"""The longest is low on purpose: reports must be back within 2 s of Redis."""


class RedisLink:
    """Sends commands in batches over one connection, and opens another when it fails.

    Parameters:
        connect: opens a connection, see `ingest.redis_connection`.
        use: called with the link whenever it is connected; writes until it raises one of `errors.UNAVAILABLE`.
        on_away: called whenever Redis turned out to be away.
    """

    def __init__(
        self, connect: Open, use: Callable[[RedisLink], Awaitable[None]], on_away: Callable[[], None] = lambda: None
    ) -> None:
        self._connect = connect
        self._use = use
        self._on_away = on_away
        self._connection: AbstractConnection | None = None
        self._logs = LogLimit()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(2 * IO_TIMEOUT_S):
                    self._connection = await self._connect()
                started = time.monotonic()
                await self._use(self)
            except UNAVAILABLE as error:
                if (held := self._logs.allows("away")) is not None:
                    cause = f"{type(error).__name__} {error}"
                    logger.warning("Redis is away", extra={"error": cause, "held_back": held})
                # A server that lets us in and takes no writes, as a demoted master, is no success.
                if self._connection is not None and time.monotonic() - started > IO_TIMEOUT_S:
                    backoff.reset()
                self._on_away()
            finally:
                await self._hang_up()
            await asyncio.sleep(backoff.next_s())

    async def exchange(self, text: bytes, count: int) -> list[Any]:
        """Send ``count`` packed commands at once and return their replies in order; an error stands in its place.

        :raises redis.exceptions.RedisError, OSError, TimeoutError: not all replies came, or the
            server cannot take writes now. Any of the commands may have been carried out.
        """
        connection = self._connection
        if connection is None:
            raise Unavailable("not connected")
        async with asyncio.timeout(IO_TIMEOUT_S):
            await connection.send_packed_command(text, check_health=False)
            replies = await read_replies(connection, count)
        for reply in replies:
            if isinstance(reply, Exception) and cannot_serve(reply):
                raise Unavailable(f"{type(reply).__name__} {reply}") from reply
        return replies

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
