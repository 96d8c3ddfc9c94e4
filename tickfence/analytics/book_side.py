"""One side of an order book: its levels in two sorted columns."""

import math
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, MutableSequence, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Levels = Iterable[Sequence[float]]
"""Price levels as (price, quantity) pairs; quantity 0 removes the level."""

MAX_LEVELS = 1000
"""Levels kept of a side. Binance tells changes of about the best 1,000 only: deeper levels would slowly become wrong."""

ALL_LEVELS = sys.maxsize
"""As a number of levels told: every level of a side."""

MIN_LEVELS = 40
"""A side that knows fewer levels is near its horizon: twice what a report shows."""

_COMPLETE = -math.inf


class Columns(NamedTuple):
    """Levels of one side, best first: two float64 arrays of one length."""

    prices: NDArray[np.float64]
    quantities: NDArray[np.float64]


class Difference(NamedTuple):
    """A price at which two books differ: the quantity in each, 0 without a level."""

    price: float
    quantity: float
    other: float


class BookSide:
    """The bids or the asks, by price.

    A side is known from its best price to its *horizon*: no level in between is missing, and of levels beyond nothing is
    kept. It holds at most `MAX_LEVELS`; when there are more, the horizon moves to the deepest level that is kept. Where an
    exchange tells every change of the best levels up to a number, that number is held instead, and the horizon is the
    deepest of them.

    The best level is at the *end* of the columns, because most updates happen there and an insertion then moves the
    least memory. So the prices of asks are stored negated. The columns are arrays of doubles: a search touches few cache
    lines, and NumPy reads a thousand levels at the cost of one copy. (With a dict beside sorted prices, a reader of the
    whole side would look up every level.) An update costs O(log n) to find, and a memory move to insert or remove.
    """

    __slots__ = ("_edge", "_few", "_keys", "_most", "_quantities", "_sign", "_told")

    def __init__(self, sign: float) -> None:
        """sign: 1.0 for bids, -1.0 for asks."""
        self._sign = sign
        self._keys = array("d")
        self._quantities = array("d")
        self._edge = _COMPLETE  # the horizon as a key: levels with lower keys are not known
        self._few = MIN_LEVELS
        self._told = False
        self._most = MAX_LEVELS

    def load(self, levels: Levels, horizon: float | None = None, told: int | None = None) -> None:
        """Replaces all levels and the horizon, as OrderBook.load()."""
        self._told = told is not None
        self._most = MAX_LEVELS if told is None else told
        edge = self._edge = _COMPLETE if horizon is None else horizon * self._sign
        known = {price * self._sign: quantity for price, quantity in levels if quantity > 0}
        self._keys = array("d", sorted(key for key in known if key >= edge))
        self._quantities = array("d", [known[key] for key in self._keys])
        self._prune()
        self._few = max(MIN_LEVELS, len(self._keys) // 2)

    def update(self, levels: Levels, log: MutableSequence[float] | None = None) -> None:
        """Sets the quantities of levels; appends three numbers per level to the log, as OrderBook.apply()."""
        sign, keys, quantities, told, known = self._sign, self._keys, self._quantities, self._told, self._edge
        edge = _COMPLETE if told else known
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
            elif key < edge:
                continue
            else:
                before = 0.0
                if quantity > 0:
                    keys.insert(place, key)
                    quantities.insert(place, quantity)
                    size += 1
            if append is not None and key >= known:  # a level that comes in from beyond has not changed
                append(key)
                append(before)
                append(quantity)
        if size >= self._most:
            self._prune()
        elif told:
            self._edge = _COMPLETE

    def _prune(self) -> None:
        """Keeps the best levels. With as many as can be the worst is the horizon: of one more the exchange tells nothing."""
        excess = len(self._keys) - self._most
        if excess < 0:
            return
        del self._keys[:excess], self._quantities[:excess]
        self._edge = self._keys[0]

    @property
    def told(self) -> int | None:
        """Of how many best levels the exchange tells every change; None if it tells of those up to the horizon."""
        return self._most if self._told else None

    @property
    def horizon(self) -> float | None:
        """The price up to which every level is known; None if all levels of the side are."""
        return None if self._edge == _COMPLETE else self._edge * self._sign

    @property
    def near_horizon(self) -> bool:
        """True if the side has lost half of the levels it was loaded with, or nearly all, and there are more beyond.

        Never where the exchange tells every change of the best levels: another snapshot has no more of them.
        """
        return len(self._keys) < self._few and self._edge != _COMPLETE and not self._told

    def knows(self, n: int) -> bool:
        """True if the n best levels are known, or all that there are."""
        return len(self._keys) >= n or self._edge == _COMPLETE

    def known(self, levels: Levels) -> list[Sequence[float]]:
        """Those of the levels that are not beyond the horizon."""
        sign, edge = self._sign, self._edge
        return [level for level in levels if level[0] * sign >= edge]

    def reaches_beyond(self, other: "BookSide") -> bool:
        """True if this side is known further than the other one."""
        return self._edge < other._edge

    def differences(self, other: "BookSide") -> list[Difference]:
        """Where the levels differ, best first, as far as both sides are known."""
        edge = max(self._edge, other._edge)
        mine, its = bisect_left(self._keys, edge), bisect_left(other._keys, edge)
        if self._keys[mine:] == other._keys[its:] and self._quantities[mine:] == other._quantities[its:]:
            return []
        quantities = dict(zip(self._keys[mine:], self._quantities[mine:], strict=True))
        others = dict(zip(other._keys[its:], other._quantities[its:], strict=True))
        compared = (
            Difference(key * self._sign, quantities.get(key, 0.0), others.get(key, 0.0))
            for key in sorted(quantities.keys() | others.keys(), reverse=True)
        )
        return [each for each in compared if each.quantity != each.other]

    @property
    def best(self) -> tuple[float, float] | None:
        """(price, quantity) of the best level; None without levels."""
        return (self._keys[-1] * self._sign, self._quantities[-1]) if self._keys else None

    def meets(self, opposite: "BookSide") -> bool:
        """True if the best price is at or beyond that of the opposite side."""
        keys, others = self._keys, opposite._keys
        return bool(keys and others) and keys[-1] >= -others[-1]

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
