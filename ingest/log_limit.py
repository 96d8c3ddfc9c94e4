"""Logging what may come in floods."""

from __future__ import annotations

import time


class LogLimit:
    """Lets one line a kind through each ``interval_s``, and counts the others.

    >>> limit = LogLimit(10.0)
    >>> limit.allows("gap"), limit.allows("gap")
    (0, None)
    """

    def __init__(self, interval_s: float = 5.0) -> None:
        self._interval_s = interval_s
        self._next: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def allows(self, kind: str) -> int | None:
        """How many lines of this kind were held back since the last one, or None when this one is held back too."""
        now = time.monotonic()
        if now < self._next.get(kind, 0.0):
            self._held[kind] = self._held.get(kind, 0) + 1
            return None
        self._next[kind] = now + self._interval_s
        return self._held.pop(kind, 0)
