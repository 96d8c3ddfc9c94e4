"""How often the log says the same thing."""

from __future__ import annotations

import time


class LogLimit:
    """Lets one log line of each kind through every ``interval_s`` seconds, and counts the others.

    Example:
        >>> limit = LogLimit(10.0)
        >>> limit.allows("gap"), limit.allows("gap")
        (0, None)
    """

    def __init__(self, interval_s: float = 5.0) -> None:
        self._interval_s = interval_s
        self._next: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def allows(self, kind: str) -> int | None:
        """The number of lines of this kind held back since the last one, or ``None`` to hold back this one too."""
        now = time.monotonic()
        if now < self._next.get(kind, 0.0):
            self._held_back[kind] = self._held_back.get(kind, 0) + 1
            return None
        self._next[kind] = now + self._interval_s
        return self._held_back.pop(kind, 0)
