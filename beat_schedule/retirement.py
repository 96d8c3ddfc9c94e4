"""The keys of symbols that operators have removed: deleted, and fenced against writers that come late."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tickfence.coordination.desired import REMEMBERED_MS
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.monitoring.log_limit import LogLimit
from tickfence.redis_access.command import Command
from tickfence.redis_access.errors import NoPermission, ResponseError, cannot_serve
from tickfence.redis_access.scripts import Script, send

logger = logging.getLogger(__name__)

RETIRE = Script("coordination/lua/retire.lua")

REFUSED_AGAIN_S = 10.0
"""What Redis refused, because the access list is of an older version for one, is tried again after this time."""

_AT_ONCE = 200


class Retirement:
    """Deletes what nodes keep of removed symbols; ingests delete the market data.

    A new leader does it again for the removals of the last minutes, since it cannot know what the one before has done.

    Args:
        keys: the deployment's keys.
        late_s: how long after a removal a node may write, where no fence stops it: the keys are deleted once more then.
    """

    def __init__(self, keys: Keys, late_s: float) -> None:
        self._late_s = late_s
        self._keys = keys
        self._retired: dict[Instrument, int] = {}  # with the time of the removal
        self._again: dict[Instrument, float] = {}
        self._done: Mapping[Instrument, int] | None = None  # of these removals nothing is left to do
        self._next_try = 0.0
        self._says = LogLimit(60.0)

    def retire(self, client: Any, removed: Mapping[Instrument, int], generation: int) -> None:
        """Delete the keys of symbols that were removed since the last call.

        Args:
            client: the data plane.
            removed: symbol -> when it was removed, server ms.
            generation: of the published assignment, which no longer has them.

        Raises:
            redis.exceptions.RedisError, redis.exceptions.RedisClusterException: Redis cannot be reached.
        """
        if removed is self._done or time.monotonic() < self._next_try:
            return
        new = [symbol for symbol, at_ms in removed.items() if self._retired.get(symbol) != at_ms]
        self._retired = {symbol: at_ms for symbol, at_ms in self._retired.items() if symbol in removed}
        for first in range(0, len(new), _AT_ONCE):
            part = new[first : first + _AT_ONCE]
            commands = [
                RETIRE.command([self._keys.lease(symbol), *self._keys.of_node(symbol)], [generation, REMEMBERED_MS])
                for symbol in part
            ]
            if not self._carry_out(client, commands):
                return
            self._retired |= {symbol: removed[symbol] for symbol in part}
            logger.info("keys of removed symbols deleted", extra={"symbols": part, "generation": generation})
        self._done = removed

    def delete(self, client: Any, removed: Mapping[Instrument, int]) -> None:
        """The same without leases, as in single-instance mode.

        Raises:
            redis.exceptions.RedisError, redis.exceptions.RedisClusterException: Redis cannot be reached.
        """
        now = time.monotonic()
        if now < self._next_try:
            return
        new = [symbol for symbol, at_ms in removed.items() if self._retired.get(symbol) != at_ms]
        again = [symbol for symbol, again_at in self._again.items() if again_at <= now]
        keys = [key for symbol in {*new, *again} & removed.keys() for key in self._keys.of_node(symbol)]
        keys += map(self._keys.lease, new)
        if not self._carry_out(client, [("DEL", key) for key in keys]):
            return
        self._retired |= {symbol: removed[symbol] for symbol in new}
        self._again = {s: at for s, at in self._again.items() if at > now} | dict.fromkeys(new, now + self._late_s)

    def _carry_out(self, client: Any, commands: Sequence[Command]) -> bool:
        """Send commands; whether none was refused. The leader has more to do than what it may not delete."""
        for reply in send(client, commands, raise_errors=False) if commands else ():
            if not isinstance(reply, Exception):
                continue
            if not isinstance(reply, ResponseError) or (cannot_serve(reply) and not isinstance(reply, NoPermission)):
                raise reply
            self._next_try = time.monotonic() + REFUSED_AGAIN_S
            if (held_back := self._says.allows("refused")) is not None:
                extra = {"error": str(reply), "held_back": held_back}
                logger.error("keys of removed symbols cannot be deleted now", extra=extra)
            return False
        return True
