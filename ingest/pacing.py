"""How often things may happen: units of an allowance, lines of the log, writes of each symbol's book."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Sequence

from tickfence.instrument import Instrument
from tickfence.monitoring.log_limit import LogLimit

__all__ = ["Allowance", "LogLimit", "SnapshotSchedule"]


class Allowance:
    """At most ``limit`` units in any ``span_s`` seconds, as exchanges allow them; a sliding window.

    Attributes:
        limit: may be changed at any time.
    """

    def __init__(self, limit: float, span_s: float) -> None:
        self.limit = limit
        self._span_s = span_s
        self._spent: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def wait_s(self, cost: float, *, share: float = 1.0) -> float:
        """Seconds until ``cost`` more units fit under ``share`` of the limit; 0 if they fit now."""
        now = self._expire()
        excess = self._used + min(cost, self.limit * share) - self.limit * share
        if excess <= 0:
            return 0.0
        for when, units in self._spent:
            excess -= units
            if excess <= 0:
                return max(when + self._span_s - now, 0.001)
        return self._span_s

    def spend(self, cost: float) -> None:
        """Use ``cost`` units now."""
        now = self._expire()
        self._spent.append((now, cost))
        self._used += cost

    def observe(self, used: float) -> None:
        """Note that the exchange has counted ``used`` units: other programs may use the same allowance."""
        self._expire()
        if used > self._used:
            self.spend(used - self._used)

    def _expire(self) -> float:
        now = time.monotonic()
        while self._spent and self._spent[0][0] + self._span_s <= now:
            self._used -= self._spent.popleft()[1]
        return now


class SnapshotSchedule:
    """Spreads the symbols evenly over an interval, so that Redis gets a steady trickle of books.

    Args:
        symbols: in the order of their turns, at first.
        interval_s: how often each symbol's turn comes, in seconds.
        start: when the first interval begins, in seconds of any clock.

    Attributes:
        step_s: seconds between two turns.

    Example:
        >>> schedule = SnapshotSchedule(["A", "B"], 1.0, start=0.0)
        >>> schedule.due(0.5), schedule.due(0.5), schedule.due(1.0)
        (['A'], [], ['B'])
    """

    def __init__(self, symbols: Sequence[Instrument], interval_s: float, start: float) -> None:
        self._interval_s = interval_s
        self._symbols: Sequence[Instrument] = ()
        self._start = start
        self._done = 0
        self.follow(symbols, start)

    def follow(self, symbols: Collection[Instrument], now: float) -> None:
        """Give turns to exactly these symbols from now on. The next turn stays the next one; new symbols come last."""
        turn = self._done % len(self._symbols) if self._symbols else 0
        before = (*self._symbols[turn:], *self._symbols[:turn])
        kept = [symbol for symbol in before if symbol in symbols]
        self._symbols = [*kept, *(symbol for symbol in symbols if symbol not in kept)]
        self.step_s = self._interval_s / max(len(self._symbols), 1)
        self._start, self._done = now, 0

    def due(self, now: float) -> list[Instrument]:
        """The symbols whose turn has come since the last call, each at most once."""
        if not self._symbols:
            return []
        total = int((now - self._start) / self.step_s)
        first = max(self._done, total - len(self._symbols))
        self._done = total
        return [self._symbols[turn % len(self._symbols)] for turn in range(first, total)]
