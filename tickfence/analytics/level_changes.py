"""What happened to the levels of a book over the last half minute."""

import numpy as np
from numpy.typing import NDArray

KEEP_MS = 35_000
"""How long changes are kept: the window of 30 s and 5 s more, for an exchange clock that is ahead of ours."""

MAX_CHANGES = 2**14
"""More changes than this (512 kB) are never kept; the oldest go first."""

TIME, KEY, BEFORE, AFTER = range(4)
"""Rows of the array: event time ms, signed price, quantity before, quantity after."""


class LevelChanges:
    """A log of level changes in time order: a float64 array of shape (4, n), rows as named above, one column a change.

    The signed price is the price of a bid and minus the price of an ask, so it names level and side at once. Times in
    ms are exact in a float64.
    """

    __slots__ = ("columns",)

    def __init__(self) -> None:
        self.columns: NDArray[np.float64] = np.empty((4, 0))

    def extend(self, new: NDArray[np.float64]) -> None:
        """Adds changes in time order: an array of shape (4, n), rows as named above."""
        if not new.size:
            return
        first = self.columns[TIME].searchsorted(new[TIME, -1] - KEEP_MS, "right")
        self.columns = np.concatenate((self.columns[:, first:], new), axis=1)[:, -MAX_CHANGES:]

    def between(self, after_ms: int, until_ms: int) -> NDArray[np.float64]:
        """The changes with after_ms < time <= until_ms: a view of shape (4, n)."""
        times = self.columns[TIME]
        return self.columns[:, times.searchsorted(after_ms, "right") : times.searchsorted(until_ms, "right")]

    def clear(self) -> None:
        """Forgets everything: after a gap nobody knows what happened in between."""
        self.columns = np.empty((4, 0))


def frequent(keys: NDArray[np.float64], least: int) -> NDArray[np.float64]:
    """The keys that are there at least so many times (2 or more), each once, rising."""
    in_order = np.sort(keys)
    # In order, such a key is its own neighbour that many places on; few are left to be made unique.
    return np.unique(in_order[least - 1 :][in_order[least - 1 :] == in_order[: 1 - least]])
