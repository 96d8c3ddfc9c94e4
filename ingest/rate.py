"""Allowances of so many units a time span, as exchanges give them."""

from __future__ import annotations

import time
from collections import deque


class Allowance:
    """At most ``limit`` units in any ``span_s`` seconds; a sliding window.

    `wait_s` tells how long until ``cost`` more units are allowed, `spend` takes them. ``limit``
    may be changed, and ``observe`` corrects what was used by what the exchange counted.
    """

    def __init__(self, limit: float, span_s: float) -> None:
        self.limit = limit
        self._span_s = span_s
        self._spent: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def wait_s(self, cost: float, *, share: float = 1.0) -> float:
        """Seconds until ``cost`` units fit under ``share`` of the limit; 0 when they fit now."""
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
        """Take ``cost`` units now."""
        now = self._expire()
        self._spent.append((now, cost))
        self._used += cost

    def observe(self, used: float) -> None:
        """The exchange counted ``used`` units; what others used of the same allowance is thus known too."""
        self._expire()
        if used > self._used:
            self.spend(used - self._used)

    def _expire(self) -> float:
        now = time.monotonic()
        while self._spent and self._spent[0][0] + self._span_s <= now:
            self._used -= self._spent.popleft()[1]
        return now
