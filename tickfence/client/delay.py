"""How long the events of a stream were on their way, and waited in your program. No I/O.

The server's clock and this machine's are never compared: an event is late by how much longer it took than the fastest event
of the last minutes on the same connection.
"""

from __future__ import annotations

from math import inf

_ROUND_MS = 60_000  # clocks drift apart, so the fastest event of long ago says nothing


class Delay:
    """Measures the events of one connection."""

    def __init__(self) -> None:
        self._began_ms = -_ROUND_MS
        self._before = self._fastest = inf

    def of(self, read_at_ms: int, now_s: float) -> float:
        """Return how late an event is, seconds; 0 for the first one.

        Args:
            read_at_ms: When the server read what the event tells, on its clock.
            now_s: When the event is handed over here, monotonic.
        """
        difference = now_s - read_at_ms / 1000
        if read_at_ms - self._began_ms >= _ROUND_MS:
            self._began_ms, self._before, self._fastest = read_at_ms, self._fastest, inf
        self._fastest = min(self._fastest, difference)
        return difference - min(self._before, self._fastest)
