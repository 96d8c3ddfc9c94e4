"""Percentiles of the last 10,000 level quantities."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WINDOW = 10_000
MIN_QUANTITIES = 20
"""Minimum number of quantities for a percentile."""


class QuantitiesWindow:
    """The newest quantities, once in the order of their arrival and once sorted.

    To add m quantities, the m oldest are taken out of the sorted array and the new ones are merged in. That costs two
    searches and two copies of 80 kB, without sorting the existing quantities again.

    Attributes:
        added: how many were ever added.
    """

    __slots__ = ("_next", "_ring", "_size", "_sorted", "added")

    def __init__(self, size: int = WINDOW) -> None:
        self.added = 0
        self._size = size
        self._ring: NDArray[np.float64] = np.empty(0)
        self._next = 0
        self._sorted: NDArray[np.float64] = np.empty(0)

    def extend(self, quantities: Sequence[float] | NDArray[np.float64]) -> None:
        """Adds positive finite quantities, oldest first; drops the oldest beyond the window's size."""
        self.added += len(quantities)
        new = np.asarray(quantities, dtype=np.float64)[-self._size :]
        if not len(new):
            return
        free = self._size - len(self._ring)
        if free > 0:
            self._ring = np.concatenate((self._ring, new[:free]))
            self._sorted = _merged(self._sorted, np.sort(new[:free]))
            new = new[free:]
            if not len(new):
                return
        room = self._size - self._next
        if len(new) > room:
            self._replace_oldest(new[:room])
            new = new[room:]
        self._replace_oldest(new)

    def _replace_oldest(self, new: NDArray[np.float64]) -> None:
        oldest = self._ring[self._next : self._next + len(new)]
        self._sorted = _merged(_without(self._sorted, np.sort(oldest)), np.sort(new))
        oldest[:] = new
        self._next = (self._next + len(new)) % self._size

    def percentile(self, percent: int) -> float | None:
        """A percentile (0 to 100), interpolated linearly between the two nearest ranks; None with fewer than 20 quantities.

        Source: type 7 of Hyndman and Fan, "Sample quantiles in statistical packages" (1996), which NumPy
        and spreadsheets also use.
        """
        if len(self._sorted) < MIN_QUANTITIES:
            return None
        rank, part = divmod(percent * (len(self._sorted) - 1), 100)
        low = float(self._sorted[rank])
        if not part:
            return low
        return low + (float(self._sorted[rank + 1]) - low) * part / 100

    def oldest_first(self) -> NDArray[np.float64]:
        """A copy of the quantities in the order of their arrival."""
        return np.roll(self._ring, -self._next)

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays, bytes."""
        return self._ring.nbytes + self._sorted.nbytes

    def __len__(self) -> int:
        return len(self._ring)


def _without(values: NDArray[np.float64], gone: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sorted values without the sorted values in `gone`; each of those removes one equal value."""
    places = values.searchsorted(gone) + np.arange(len(gone)) - gone.searchsorted(gone)
    kept = np.ones(len(values), dtype=bool)
    kept[places] = False
    return values[kept]


def _merged(values: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
    places = values.searchsorted(new, "right") + np.arange(len(new))
    merged = np.empty(len(values) + len(new))
    old = np.ones(len(merged), dtype=bool)
    old[places] = False
    merged[places] = new
    merged[old] = values
    return merged
