"""One asyncio connection for bulk writes: packed commands out at once, replies as they stand on the wire.

:mod:`tickfence.redis_access.raw_pipeline` is its blocking counterpart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Self

from hiredis import PushNotification, Reader
from redis import exceptions

from tickfence.redis_access.connect import asyncio_pool
from tickfence.redis_access.errors import cannot_serve

ERRORS = 64
"""Errors that are kept, by text. Of two processes that append the same entries, one gets the same error for each."""
_MORE = object()
"""What a reader tells until it has a whole reply."""


class RawConnection(asyncio.Protocol):
    """An open connection to one server.

    redis-py connects. Then this takes what comes from its transport: redis-py's ``read_response`` would be entered once for
    each reply, which costs ten times as much, and its stream wakes a task for each piece.

    Args:
        pool: knows the address and the options; see :func:`tickfence.redis_access.connect.asyncio_pool`.
        timeout_s: for each exchange.
    """

    def __init__(self, pool: Any, timeout_s: float) -> None:
        self._pool = pool  # a connection by Sentinel refers to it, but does not keep it alive
        self._connection = pool.make_connection()
        self._timeout_s = timeout_s
        self._transport: asyncio.Transport
        self._reader: Reader
        self._replies: list[Any] = []
        self._count = 0
        self._done: asyncio.Future[None] | None = None
        self._failed: Exception | None = None

    @classmethod
    async def open(cls, pool: Any, timeout_s: float) -> Self:
        """Connect within twice ``timeout_s``: by Sentinel, two servers are involved."""
        new = cls(pool, timeout_s)
        try:
            async with asyncio.timeout(2 * timeout_s):
                await new._connection.connect()
        except BaseException:
            await new.close()
            raise
        error = lru_cache(ERRORS)(new._connection._parser.parse_error)
        new._reader = Reader(protocolError=exceptions.InvalidResponse, replyError=error, notEnoughData=_MORE)
        new._transport = new._connection._writer.transport
        new._transport.set_protocol(new)
        return new

    async def exchange(self, text: bytes, count: int) -> list[Any]:
        """Send packed commands at once and return their replies in order.

        Args:
            text: the commands, as :func:`hiredis.pack_command` packs them.
            count: how many commands, at least one.

        Returns:
            A reply for each command; an error of one command stands in its reply's place.

        Raises:
            redis.exceptions.RedisError, OSError: not all replies came in time, or one of them says that the server
                cannot serve now. Any of the commands may have been carried out.
        """
        if self._failed is not None:
            raise self._failed
        loop = asyncio.get_running_loop()
        self._replies, self._count, self._done = [], count, loop.create_future()
        self._transport.write(text)
        timer = loop.call_later(self._timeout_s, self._fail, TimeoutError("the server has not answered in time"))
        try:
            await self._done
        finally:
            timer.cancel()
        for error in {reply for reply in self._replies if isinstance(reply, Exception)}:
            if cannot_serve(error):
                raise error
        return self._replies

    async def close(self) -> None:
        """Close the connection, without waiting for the server."""
        await self._connection.disconnect(nowait=True)

    def data_received(self, data: bytes) -> None:
        """Take replies from the wire."""
        next_reply, append = self._reader.gets, self._replies.append
        try:
            self._reader.feed(data)
            while (reply := next_reply()) is not _MORE:
                if not isinstance(reply, PushNotification):
                    append(reply)
        except exceptions.RedisError as error:  # not Redis' protocol
            self._fail(error)
        if len(self._replies) >= self._count and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Let the exchange end, and all after it."""
        self._fail(error or exceptions.ConnectionError("the server has closed the connection"))

    def _fail(self, error: Exception) -> None:
        self._failed = error
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)


Opener = Callable[[], Awaitable[RawConnection]]
"""Opens a connection to the server, wherever it is by then; raises one of ``errors.REDIS_ERRORS``."""


def opener(url: str, *, name: str, timeout_s: float = 1.0) -> Opener:
    """What opens connections to one server, or to the master that Sentinel names.

    Args:
        url: ``redis://``, ``rediss://`` or ``redis+sentinel://``.
        name: shown by ``CLIENT LIST``.
        timeout_s: for connecting to a server, and for each exchange.
    """
    pool = asyncio_pool(url, name=name, timeout_s=timeout_s)
    return lambda: RawConnection.open(pool, timeout_s)
