"""The keys of symbols that operators have removed: deleted, and fenced against writers that come late."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from tickfence.coordination.desired import REMEMBERED_MS
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.redis_access.scripts import Script, send

logger = logging.getLogger(__name__)

RETIRE = Script("coordination/lua/retire.lua")

UNFENCED_AGAIN_S = 1.0
"""Without a fence the keys are deleted once more after this time: a node may have been at work on the symbol."""

_AT_ONCE = 200


class Retirement:
    """Deletes what nodes keep of removed symbols; ingests delete the market data.

    A new leader does it again for the removals of the last minutes, since it cannot know what the one before has done.

    Args:
        keys: the deployment's keys.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._retired: dict[Instrument, int] = {}  # with the time of the removal
        self._again: dict[Instrument, float] = {}

    def retire(self, client: Any, removed: Mapping[Instrument, int], generation: int) -> None:
        """Delete the keys of symbols that were removed since the last call.

        Args:
            client: the data plane.
            removed: symbol -> when it was removed, server ms.
            generation: of the published assignment, which no longer has them.

        Raises:
            redis.exceptions.RedisError, redis.exceptions.RedisClusterException: Redis cannot be reached.
        """
        new = [symbol for symbol, at_ms in removed.items() if self._retired.get(symbol) != at_ms]
        self._retired = {symbol: at_ms for symbol, at_ms in self._retired.items() if symbol in removed}
        for first in range(0, len(new), _AT_ONCE):
            part = new[first : first + _AT_ONCE]
            commands = [
                RETIRE.command([self._keys.lease(symbol), *self._of_node(symbol)], [generation, REMEMBERED_MS])
                for symbol in part
            ]
            send(client, commands)
            self._retired |= {symbol: removed[symbol] for symbol in part}
            logger.info("keys of removed symbols deleted", extra={"symbols": part, "generation": generation})

    def delete(self, client: Any, removed: Mapping[Instrument, int]) -> None:
        """The same without leases, as in single-instance mode.

        Raises:
            redis.exceptions.RedisError, redis.exceptions.RedisClusterException: Redis cannot be reached.
        """
        now = time.monotonic()
        for symbol in [s for s, at_ms in removed.items() if self._retired.get(s) != at_ms]:
            client.delete(self._keys.lease(symbol), *self._of_node(symbol))
            self._retired[symbol], self._again[symbol] = removed[symbol], now + UNFENCED_AGAIN_S
        for symbol in [s for s, again_at in self._again.items() if again_at <= now]:
            del self._again[symbol]
            if symbol in removed:
                client.delete(*self._of_node(symbol))

    def _of_node(self, symbol: Instrument) -> tuple[str, ...]:
        return self._keys.report(symbol), self._keys.slow(symbol), self._keys.carry(symbol)
