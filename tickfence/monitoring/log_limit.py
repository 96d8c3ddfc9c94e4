"""How often the log says the same thing."""

from __future__ import annotations

import logging
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


class RepeatFilter(logging.Filter):
    """Lets each warning or error of a logger through once in ``interval_s`` seconds, whatever its arguments.

    For loggers of others that say the same with every message or attempt. A line that comes after others were held
    back has their number as ``held_back``.

    Example:
        >>> logging.getLogger("celery.app.trace").addFilter(RepeatFilter(60.0))
    """

    def __init__(self, interval_s: float) -> None:
        super().__init__()
        self._limit = LogLimit(interval_s)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether ``record`` is logged."""
        if record.levelno < logging.WARNING:
            return True
        kind = type(record.exc_info[1]).__name__ if record.exc_info else ""
        held_back = self._limit.allows(f"{record.msg} {kind}")
        if held_back:
            record.held_back = held_back
        return held_back is not None
