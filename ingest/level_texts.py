"""How the levels of a book are written: for checksums over the exchange's own characters."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from ingest.events import Level
from tickfence.analytics.book_side import BookSide

AT_HAND = 4
"""When levels are taken again, so many times those of the sum are at hand. Later they are down to these, or up to twice as many."""
KEPT = 3_000
"""Deeper levels that are kept. A book has fewer; more are of prices that it has cut off."""


class LevelTexts:
    """One side of a book, as it is written.

    The best levels are at hand, the best one last, as in a `BookSide`. A message mostly changes a few of them. Deeper
    levels are kept by price, but for those that are written as most are: how, follows from their numbers.

    Args:
        sign: 1.0 for bids, -1.0 for asks.
        count: the sum is over so many levels.
        part: what the sum has of a level's text.
        form: most levels' text begins with `form % (price, quantity)`; empty if there is no such rule.
    """

    __slots__ = ("_at_hand", "_best", "_count", "_deep", "_floor", "_form", "_keys", "_part", "_sign")

    def __init__(self, sign: float, count: int, part: Callable[[bytes], bytes], form: bytes = b"") -> None:
        self._sign, self._count, self._part, self._form = sign, count, part, form
        self._deep: dict[float, bytes] = {}
        self._keys = array("d")
        self._at_hand: list[bytes] = []
        self._floor = -math.inf  # levels with lower keys are not at hand
        self._best: list[bytes] | None = None

    def load(self, levels: Sequence[Level], texts: Sequence[bytes]) -> None:
        """Take a whole side."""
        self._floor = math.inf
        self.set(levels, texts)

    def set(self, levels: Iterable[Level], texts: Iterable[bytes]) -> None:
        """Take levels as they are written, in their order. Those with quantity 0 are removed."""
        sign, floor, count, form, part = self._sign, self._floor, self._count, self._form, self._part
        keys, at_hand, deep = self._keys, self._at_hand, self._deep
        for level, text in zip(levels, texts, strict=True):
            price, quantity = level
            key = price * sign
            if key < floor:
                if quantity and not (form and text.startswith(form % level)):
                    deep[price] = part(text)
                elif deep:
                    deep.pop(price, None)
                continue
            place, size = bisect_left(keys, key), len(keys)
            if place >= size - count:
                self._best = None
            if place < size and keys[place] == key:
                if quantity:
                    at_hand[place] = part(text)
                else:
                    del keys[place], at_hand[place]
            elif quantity:
                keys.insert(place, key)
                at_hand.insert(place, part(text))

    def best(self, side: BookSide) -> list[bytes] | None:
        """The parts of the best levels, best first; ``None`` if they are not those of ``side``."""
        if self._best is None:
            keys, count = self._keys, self._count
            if (len(keys) < count and self._floor > -math.inf) or len(keys) > 2 * AT_HAND * count:
                if not self._take_again(side):
                    return None
                keys = self._keys
            level = side.best
            if (level[0] * self._sign if level else None) != (keys[-1] if keys else None):
                return None
            self._best = self._at_hand[: -count - 1 : -1]
        return self._best

    def _take_again(self, side: BookSide) -> bool:
        """Have as many levels at hand as at first; return whether the text of each is known."""
        sign, deep = self._sign, self._deep
        known = dict(zip(self._keys, self._at_hand, strict=True))
        best = list(zip(*side.top(AT_HAND * self._count), strict=True))
        best.reverse()
        self._keys = array("d", [price * sign for price, _ in best])
        self._at_hand = [
            known.pop(price * sign, b"") or deep.pop(price, b"") or self._usual(price, quantity)
            for price, quantity in best
        ]
        self._floor = self._keys[0] if len(side) > len(best) else -math.inf
        for key, part in known.items():
            price = key * sign
            if part != self._usual(price, side.quantity(price)):
                deep[price] = part
        if len(deep) > KEPT:
            self._deep = {price: part for price, part in deep.items() if side.quantity(price)}
        return all(self._at_hand)

    def _usual(self, price: float, quantity: float) -> bytes:
        return self._part(self._form % (price, quantity)) if self._form else b""
