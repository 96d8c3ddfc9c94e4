"""One asyncio connection for bulk writes: packed commands out at once, replies as they stand on the wire.

:mod:`tickfence.redis_access.raw_pipeline` is its blocking counterpart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

from hiredis import PushNotification
from redis import exceptions
from redis._parsers.hiredis import NOT_ENOUGH_DATA

from tickfence.redis_access.connect import asyncio_pool
from tickfence.redis_access.errors import cannot_serve


class RawConnection:
    """An open connection to one server.

    Args:
        pool: knows the address and the options; see :func:`tickfence.redis_access.connect.asyncio_pool`.
        timeout_s: for each exchange.
    """

    def __init__(self, pool: Any, timeout_s: float) -> None:
        self._pool = pool  # a connection by Sentinel refers to it, but does not keep it alive
        self._connection = pool.make_connection()
        self._timeout_s = timeout_s

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
        return new

    async def exchange(self, text: bytes, count: int) -> list[Any]:
        """Send packed commands at once and return their replies in order.

        Args:
            text: the commands, as :func:`hiredis.pack_command` packs them.
            count: how many commands.

        Returns:
            A reply for each command; an error of one command stands in its reply's place.

        Raises:
            redis.exceptions.RedisError, OSError: not all replies came in time, or one of them says that the server
                cannot serve now. Any of the commands may have been carried out.
        """
        async with asyncio.timeout(self._timeout_s):
            await self._connection.send_packed_command(text, check_health=False)
            replies = await self._read(count)
        for reply in replies:
            if isinstance(reply, Exception) and cannot_serve(reply):
                raise reply
        return replies

    async def close(self) -> None:
        """Close the connection, without waiting for the server."""
        await self._connection.disconnect(nowait=True)

    async def _read(self, count: int) -> list[Any]:
        """The next ``count`` replies.

        redis-py's ``read_response`` would be entered once for each reply, and costs ten times as much. So this asks
        its parser, a private part, for all replies that are at hand.
        """
        parser = self._connection._parser
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
