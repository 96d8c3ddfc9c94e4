"""Which symbols to follow: what operators have asked for, and ``SYMBOLS`` until they have."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from ingest.pacing import LogLimit
from ingest.shard import of_shard
from tickfence.coordination.desired import Desired, parse_desired
from tickfence.coordination.desired_store import parse_version, version_command
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.redis_access.connect import connect_asyncio, forget_asyncio_connections
from tickfence.redis_access.errors import REDIS_ERRORS, cannot_serve
from tickfence.redis_access.outage import Backoff

logger = logging.getLogger(__name__)

EVERY_S = 0.5
"""Time between two looks at the version."""
START_WAIT_S = 1.0
"""How long Redis is waited for before the start with ``SYMBOLS``."""
TIMEOUT_S = 1.0
SAY_EVERY_S = 60.0

Follow = Callable[[Sequence[Instrument], Sequence[Instrument]], None]
"""Takes all symbols to follow; and, of the first stored state, those that were removed lately."""


class DesiredSymbols:
    """Follows the desired state in Redis: its version twice a second, and all of it when the version is higher.

    What cannot be read, or is lost or older than what is followed, changes nothing: the leading beat writes it back.

    Args:
        url: the data plane.
        keys: every key of the deployment.
        seed: symbols to follow while nothing is stored.
        shard: which part of the symbols this process follows, as ``NT_INGEST_SHARD`` says it.
        name: shown by ``CLIENT LIST``.
    """

    def __init__(self, url: str, keys: Keys, seed: Sequence[Instrument], shard: str, name: str = "ingest") -> None:
        self._url = url
        self._name = name
        self._keys = keys
        self._seed = seed
        self._shard = shard
        self._version: int | None = None
        self._logs = LogLimit(SAY_EVERY_S)

    async def run(self, follow: Follow) -> None:
        """Call ``follow`` at the start and with each change, until cancelled."""
        client: Any = connect_asyncio(self._url, name=self._name, timeout_s=TIMEOUT_S)
        backoff = Backoff(base=0.05, cap=EVERY_S)
        seed_at, started = time.monotonic() + START_WAIT_S, False
        try:
            while True:
                wait_s = EVERY_S
                try:
                    async with asyncio.timeout(TIMEOUT_S if started else max(seed_at - time.monotonic(), 0.01)):
                        desired = await self._newer(client)
                except (*REDIS_ERRORS, ValueError) as error:
                    self._log(error)
                    desired, wait_s = None, backoff.next_s()
                    if cannot_serve(error):
                        await forget_asyncio_connections(client)
                    known = time.monotonic() >= seed_at
                else:
                    backoff.reset()
                    known = True
                if desired is not None:
                    removed = desired.removed if self._version is None else ()
                    self._version, started = desired.version, True
                    follow(of_shard(desired.listed, self._shard), of_shard(removed, self._shard))
                elif known and not started:
                    started = True
                    follow(of_shard(self._seed, self._shard), ())
                await asyncio.sleep(wait_s)
        finally:
            await client.aclose()

    async def _newer(self, client: Any) -> Desired | None:
        """The stored state; ``None`` if nothing is stored, or nothing newer than what is followed.

        Raises:
            ValueError: it is not readable.
        """
        version = parse_version(await client.execute_command(*version_command(self._keys)))
        followed = self._version or 0
        if 0 <= version <= followed:
            return None
        desired = parse_desired(await client.hgetall(self._keys.desired))
        return desired if desired is not None and desired.version > followed else None

    def _log(self, error: Exception) -> None:
        if (held_back := self._logs.allows("unread")) is not None:
            cause = {"error": f"{type(error).__name__} {error}", "held_back": held_back}
            logger.warning("cannot read which symbols are desired; those that are followed stay", extra=cause)
