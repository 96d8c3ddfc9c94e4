"""When each symbol's book is written."""

from __future__ import annotations

from collections.abc import Sequence

from tickfence.instrument import Instrument


class SnapshotSchedule:
    """Spreads the symbols evenly over an interval, so that Redis gets a steady trickle of books.

    >>> schedule = SnapshotSchedule(["A", "B"], 1.0, start=0.0)
    >>> schedule.due(0.5), schedule.due(0.5), schedule.due(1.0)
    (['A'], [], ['B'])
    """

    def __init__(self, symbols: Sequence[Instrument], interval_s: float, start: float) -> None:
        self._symbols = symbols
        self._step_s = interval_s / len(symbols)
        self._start = start
        self._done = 0

    def due(self, now: float) -> list[Instrument]:
        """The symbols whose turn came since the last call, each at most once."""
        total = int((now - self._start) / self._step_s)
        first = max(self._done, total - len(self._symbols))
        self._done = total
        return [self._symbols[turn % len(self._symbols)] for turn in range(first, total)]
