"""One side of an order book: its levels in two sorted columns."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, MutableSequence, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Levels = Iterable[Sequence[float]]
"""Price levels as (price, quantity) pairs; quantity 0 removes the level."""


class Columns(NamedTuple):
    """Levels of one side, best first: two float64 arrays of one length."""

    prices: NDArray[np.float64]
    quantities: NDArray[np.float64]


class BookSide:
    """The bids or the asks, by price.

    The best level is at the *end* of the columns, because most updates happen there and an insertion then moves the
    least memory. So the prices of asks are stored negated. The columns are arrays of doubles: a search touches few cache
    lines, and NumPy reads a thousand levels at the cost of one copy. (With a dict beside sorted prices, a reader of the
    whole side would look up every level.) An update costs O(log n) to find, and a memory move to insert or remove.
    """

    __slots__ = ("_keys", "_quantities", "_sign")

    def __init__(self, sign: float) -> None:
        """sign: 1.0 for bids, -1.0 for asks."""
        self._sign = sign
        self._keys = array("d")
        self._quantities = array("d")

    def load(self, levels: Levels) -> None:
        """Replaces all levels, as OrderBook.load()."""
        known = {price * self._sign: quantity for price, quantity in levels if quantity > 0}
        self._keys = array("d", sorted(known))
        self._quantities = array("d", [known[key] for key in self._keys])

    def update(self, levels: Levels, log: MutableSequence[float] | None = None) -> None:
        """Sets the quantities of levels; appends three numbers per level to the log, as OrderBook.apply()."""
        sign, keys, quantities = self._sign, self._keys, self._quantities
        size = len(keys)
        append = None if log is None else log.append
        for price, quantity in levels:
            key = price * sign
            place = bisect_left(keys, key)
            if place < size and keys[place] == key:
                before = quantities[place]
                if quantity > 0:
                    quantities[place] = quantity
                else:
                    del keys[place], quantities[place]
                    size -= 1
            else:
                before = 0.0
                if quantity > 0:
                    keys.insert(place, key)
                    quantities.insert(place, quantity)
                    size += 1
            if append is not None:
                append(key)
                append(before)
                append(quantity)

    @property
    def best(self) -> tuple[float, float] | None:
        """(price, quantity) of the best level; None without levels."""
        return (self._keys[-1] * self._sign, self._quantities[-1]) if self._keys else None

    def top(self, n: int) -> tuple[list[float], list[float]]:
        """Prices and quantities of the n best levels, best first."""
        keys = self._keys[: -n - 1 : -1].tolist()
        return keys if self._sign > 0 else [-key for key in keys], self._quantities[: -n - 1 : -1].tolist()

    def columns(self, n: int) -> Columns:
        """The n best levels as arrays. They are copies, so later updates do not change them."""
        # A copy, because an array that shares its memory with NumPy cannot grow.
        return Columns(np.array(self._keys)[: -n - 1 : -1] * self._sign, np.array(self._quantities)[: -n - 1 : -1])

    def quantity(self, price: float) -> float:
        """The quantity at exactly this price; 0 without a level."""
        key = price * self._sign
        place = bisect_left(self._keys, key)
        return self._quantities[place] if place < len(self._keys) and self._keys[place] == key else 0.0

    def __len__(self) -> int:
        """Number of levels."""
        return len(self._keys)
