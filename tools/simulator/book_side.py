"""One side of a limit order book, made for a thousand of them in one process."""

from __future__ import annotations

from array import array
from itertools import islice


class Side:
    """The bids or the asks. ``inward`` is +1 for bids, -1 for asks: the direction of better prices.

    Quantities lie in a ring indexed by price modulo its size: a thousand books in dicts would be mostly cache misses.
    The caller keeps ``best`` and ``worst`` less than ``span`` ticks apart, and at least one level.
    """

    __slots__ = ("_mask", "_ring", "best", "changed", "count", "inward", "span", "worst")

    def __init__(self, inward: int, levels: dict[int, int], span: int) -> None:
        self.inward = inward
        self.best = max(levels) if inward > 0 else min(levels)
        self.worst = min(levels) if inward > 0 else max(levels)
        self.count = len(levels)
        self.changed: dict[int, int] = {}
        self.span = 1 << span.bit_length()
        self._mask = self.span - 1
        self._ring = array("q", bytes(8 * self.span))
        for price, quantity in levels.items():
            self._ring[price & self._mask] = quantity

    def set(self, price: int, quantity: int) -> None:
        """Make ``quantity`` the one at ``price``; 0 removes the level, which must exist and not be the last."""
        ring, mask, inward = self._ring, self._mask, self.inward
        self.changed[price] = quantity
        if quantity:
            if not ring[price & mask]:
                self.count += 1
            ring[price & mask] = quantity
            if (price - self.best) * inward > 0:
                self.best = price
            elif (self.worst - price) * inward > 0:
                self.worst = price
            return
        ring[price & mask] = 0
        self.count -= 1
        if price == self.best:
            while not ring[price & mask]:
                price -= inward
            self.best = price
        elif price == self.worst:
            while not ring[price & mask]:
                price += inward
            self.worst = price

    def quantity(self, price: int) -> int:
        """The quantity at a price between the worst and the best; 0 if there is none."""
        return self._ring[price & self._mask]

    def levels(self, limit: int | None = None) -> list[tuple[int, int]]:
        """The best ``limit`` levels, or all, as (price, quantity), best first."""
        prices = range(self.best, self.worst - self.inward, -self.inward)
        present = ((price, quantity) for price in prices if (quantity := self.quantity(price)))
        return list(islice(present, limit))
