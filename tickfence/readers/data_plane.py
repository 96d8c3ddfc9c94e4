"""Reading from Redis: many commands in one round trip, together with the server's time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from tickfence.monitoring.log_limit import LogLimit
from tickfence.redis_access.command import checked
from tickfence.redis_access.connect import connect_asyncio, forget_asyncio_connections, is_cluster
from tickfence.redis_access.errors import REDIS_ERRORS, TIMEOUTS, ConnectionLost, cannot_serve

logger = logging.getLogger(__name__)

TIMEOUT_S = 2.0
_CONNECTIONS = 16  # further readers wait for one, within the same time limit

Command = tuple[str | int, ...]


class Unavailable(Exception):
    """Redis does not answer, or answers with an error. The text says which; clients get it, so it names no server."""


class Unreadable(Unavailable):
    """Redis holds something that tickfence does not write. The text says where, and what."""


class DataPlane:
    """Reads the data plane. It never writes.

    Args:
        url: any form of ``REDIS_URL``.

    Attributes:
        shows_connections: whether to ask for ``CLIENT LIST``; no longer after a refusal, because each refusal closes the
            connections.

    Example:
        >>> plane = DataPlane("redis://localhost:6379/0")
        >>> now_ms, [report] = await plane.read([("GET", "report:BTCUSDT")])  # doctest: +SKIP
    """

    def __init__(self, url: str) -> None:
        self._client = connect_asyncio(url, name="web", timeout_s=TIMEOUT_S)
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._log_limit = LogLimit()
        self.shows_connections = not self.many_servers

    @property
    def many_servers(self) -> bool:
        """Whether it is a Redis Cluster, where one command reads keys of one slot only."""
        return is_cluster(self._client)

    async def read(self, commands: Sequence[Command], *, own_errors: bool = False) -> tuple[int, list[Any]]:
        """Read everything with one round trip.

        A connection may have died while nobody used it. If one breaks, the commands are sent once more, over a new one.

        Args:
            commands: each a name and its arguments.
            own_errors: whether an error that concerns one key only stands in its reply's place, and the others count.

        Returns:
            The server's time in ms, and the reply to each command as redis-py parses it.

        Raises:
            Unavailable: no answer within ``TIMEOUT_S``, or an error among the replies that does not stand in its place.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S), self._places:
                try:
                    found = await self._read(commands)
                except ConnectionLost:
                    await forget_asyncio_connections(self._client)
                    found = await self._read(commands)
        except REDIS_ERRORS as error:
            await forget_asyncio_connections(self._client)
            if self._log_limit.allows("away") is not None:
                logger.warning("cannot read from Redis: %s: %s", type(error).__name__, error)
            why = f"no answer within {TIMEOUT_S:g} s" if isinstance(error, TIMEOUTS) else type(error).__name__
            raise Unavailable(f"Redis is away: {why}") from error
        for reply in found[1]:
            if isinstance(reply, Exception):
                if cannot_serve(reply):
                    await forget_asyncio_connections(self._client)  # another server may be the master by now
                elif own_errors:
                    continue
                if self._log_limit.allows("refused") is not None:
                    logger.warning("Redis refused to be read: %s", reply)
                code = str(reply).partition(" ")[0]  # what follows may name keys and servers
                why = code if code.isupper() else type(reply).__name__
                raise Unavailable(f"Redis refused to be read: {why}") from reply
        return found

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _read(self, commands: Sequence[Command]) -> tuple[int, list[Any]]:
        if self.many_servers:
            # In a pipeline of a cluster's client, a command without a key has no address.
            await self._client.initialize()
            time = await self._client.execute_command("TIME", target_nodes=self._client.get_default_node())
            return milliseconds(time), await self._pipeline(commands) if commands else []
        time, *replies = await self._pipeline([("TIME",), *commands])
        return milliseconds(checked(time)), replies

    async def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        pipe = self._client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        replies: list[Any] = await pipe.execute(raise_on_error=False)
        return replies


def milliseconds(time: Any) -> int:
    """The reply to ``TIME`` in ms."""
    seconds, microseconds = time
    return int(seconds) * 1000 + int(microseconds) // 1000
