"""Which pair each symbol is of, as Redis has it from the exchanges' listings."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tickfence.keys import Keys
from tickfence.readers.data_plane import DataPlane
from tickfence.readers.pairs import Pair
from tickfence.streams.codec import decode_asset

AGAIN_S = 5.0
"""A symbol of which nothing is known is asked for again after this."""


class ListedPairs:
    """The pairs of symbols. A listing does not change them, so each is read once.

    Args:
        plane: where they are.
        keys: the deployment's.
    """

    def __init__(self, plane: DataPlane, keys: Keys) -> None:
        self._plane, self._keys = plane, keys
        self._known: dict[str, Pair] = {}
        self._not_before: dict[str, float] = {}

    async def of(self, symbols: Sequence[str]) -> dict[str, Pair]:
        """Return the pair of each symbol whose exchange tells it.

        Raises:
            Unavailable: Redis does not answer.
        """
        now = time.monotonic()
        missing = [name for name in symbols if name not in self._known and self._not_before.get(name, now) <= now]
        if missing:
            _, replies = await self._plane.read([("HMGET", self._keys.info(name), "base", "quote") for name in missing])
            self._not_before |= dict.fromkeys(missing, now + AGAIN_S)
            for name, (base, quote) in zip(missing, replies, strict=True):
                pair = Pair(decode_asset(base), decode_asset(quote))
                if all(pair):
                    self._known[name] = pair
        for known in (self._known, self._not_before):
            for name in known.keys() - set(symbols):
                del known[name]
        return {name: self._known[name] for name in symbols if name in self._known}
