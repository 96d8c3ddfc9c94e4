"""The changes of a book's levels in the last half minute."""

import numpy as np
from numpy.typing import NDArray

KEEP_MS = 35_000
"""How long changes are kept: the window of 30 s, and 5 s more in case the exchange's clock is ahead of ours."""

MAX_CHANGES = 2**14
"""Maximum number of changes (512 kB); the oldest are dropped first."""

UNKNOWN = 2**53
"""A time after every other one."""

TIME, KEY, BEFORE, AFTER = range(4)
"""Rows of the array: event time ms, signed price, quantity before, quantity after."""


class LevelChanges:
    """A log of level changes in time order: a float64 array of shape (4, n) with the rows above, one column per change.

    The signed price is the price of a bid, or minus the price of an ask, so it identifies level and side. Times in ms are
    exact in a float64.

    Attributes:
        columns: the array.
        complete_after_ms: every change of the book after this time is in the log, exchange time; UNKNOWN before the
            first diff.
        from_update_id: update id of the snapshot that these changes, and those before them, began with; 0 before it.
    """

    __slots__ = ("columns", "complete_after_ms", "from_update_id")

    def __init__(self) -> None:
        self.columns: NDArray[np.float64] = np.empty((4, 0))
        self.complete_after_ms = UNKNOWN
        self.from_update_id = 0

    def extend(self, new: NDArray[np.float64]) -> None:
        """Adds changes in time order: an array of shape (4, n) with the rows above."""
        if not new.size:
            return
        first = self.columns[TIME].searchsorted(new[TIME, -1] - KEEP_MS, "right")
        self.columns = np.concatenate((self.columns[:, first:], new), axis=1)
        dropped = self.columns.shape[1] - MAX_CHANGES
        if dropped > 0:
            self.complete_after_ms = max(self.complete_after_ms, int(self.columns[TIME, dropped - 1]))
            self.columns = self.columns[:, dropped:]

    def between(self, after_ms: int, until_ms: int) -> NDArray[np.float64]:
        """The changes with after_ms < time <= until_ms: a view of shape (4, n)."""
        times = self.columns[TIME]
        return self.columns[:, times.searchsorted(after_ms, "right") : times.searchsorted(until_ms, "right")]

    def clear(self) -> None:
        """Drops everything: after a gap, the changes within the gap are unknown."""
        self.columns = np.empty((4, 0))
        self.complete_after_ms = UNKNOWN
        self.from_update_id = 0


def frequent(keys: NDArray[np.float64], minimum: int) -> NDArray[np.float64]:
    """The keys that occur at least `minimum` times (2 or more), each once, in rising order."""
    in_order = np.sort(keys)
    # In sorted order such a key equals the key `minimum` - 1 places before.
    often = in_order[minimum - 1 :][in_order[minimum - 1 :] == in_order[: 1 - minimum]]
    is_first: NDArray[np.bool_] = np.ones(len(often), dtype=bool)
    np.not_equal(often[1:], often[:-1], out=is_first[1:])
    found: NDArray[np.float64] = often[is_first]
    return found
