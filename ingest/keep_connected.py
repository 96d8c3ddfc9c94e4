"""A connection to Redis that is opened again as often as it takes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from ingest.pacing import LogLimit
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.outage import Backoff
from tickfence.redis_access.raw_connection import Opener, RawConnection

logger = logging.getLogger(__name__)

FIRST_RETRY_S, MAXIMUM_RETRY_S = 0.05, 0.25
"""The maximum is low on purpose: reports must be back within 2 s of Redis."""
STABLE_S = 1.0


async def keep_connected(
    open_connection: Opener, use: Callable[[RawConnection], Awaitable[None]], on_failure: Callable[[], None]
) -> None:
    """Stay connected until cancelled.

    Args:
        open_connection: opens a connection to the server, wherever it is by then.
        use: called with each new connection; works with it until it raises one of ``errors.REDIS_ERRORS``.
        on_failure: called after each failure to connect, and each connection that failed.
    """
    backoff = Backoff(base=FIRST_RETRY_S, cap=MAXIMUM_RETRY_S)
    logs = LogLimit()
    while True:
        connection, opened_at = None, time.monotonic()
        try:
            connection = await open_connection()
            opened_at = time.monotonic()
            await use(connection)
        except REDIS_ERRORS as error:
            if (held_back := logs.allows("away")) is not None:
                cause = f"{type(error).__name__} {error}"
                logger.warning("Redis is away", extra={"error": cause, "held_back": held_back})
            # A server that accepts the connection and no writes, as a demoted master does, is no success.
            if connection is not None and time.monotonic() - opened_at > STABLE_S:
                backoff.reset()
            on_failure()
        finally:
            if connection is not None:
                await connection.close()
        await asyncio.sleep(backoff.next_s())
