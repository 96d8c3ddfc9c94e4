"""One side of a limit order book, compact enough for a thousand books in one process."""

from __future__ import annotations

from array import array
from itertools import islice


class Side:
    """The bids or the asks.

    Quantities are in a ring that is indexed by price modulo its size, because a thousand books in dicts would mostly
    miss the processor's cache. The caller keeps at least one level, and `best` and `worst` less than `span` ticks apart.

    Attributes:
        inward: +1 for bids, -1 for asks: the direction of better prices.
        best, worst: prices in ticks.
        count: number of levels.
        changed: price -> new quantity of what changed; the market empties it with each diff.
        span: size of the ring, in ticks.
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
        """Sets the quantity at a price; 0 removes the level, which must exist and must not be the last one."""
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
        """The quantity at a price between the worst and the best price; 0 if there is no level."""
        return self._ring[price & self._mask]

    def told(self, levels: int) -> dict[int, int]:
        """The changes at prices down to that of the worst of the best `levels` levels."""
        if self.count <= levels:
            return self.changed
        last, inward = self.levels(levels)[-1][0], self.inward
        return {price: quantity for price, quantity in self.changed.items() if (price - last) * inward >= 0}

    def levels(self, limit: int | None = None) -> list[tuple[int, int]]:
        """The best `limit` levels, or all levels, as (price, quantity), best first."""
        prices = range(self.best, self.worst - self.inward, -self.inward)
        present = ((price, quantity) for price in prices if (quantity := self.quantity(price)))
        return list(islice(present, limit))
