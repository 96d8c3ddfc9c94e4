"""The Redis server's time, estimated between round trips."""

from __future__ import annotations

import time
from collections import deque

DRIFT_MS = 50
"""How far two clocks may drift apart between the oldest sample and the newest."""


class ServerClock:
    """An estimate of what the Redis server's clock shows now, by the method of Cristian (1989).

    Every reply that carries the server's time is a sample. The server read its clock between our send and our
    receive, so of the last few samples the one with the shortest round trip has the smallest error. Locally only the
    monotonic clock is used: a wrong or stepped wall clock on this host does not matter.

    A sample is off by at most half of its round trip. One that contradicts the estimate by more than that means that the
    server's clock was set, or that another server answers now: then it is believed at once.

    Until the first sample the estimate is this host's wall clock.

    Args:
        samples: how many samples count.

    Example:
        >>> clock = ServerClock()
        >>> clock.observe(sent=10.000, received=10.002, server_ms=1_700_000_000_000)
        >>> clock.at(10.001)
        1700000000000
    """

    def __init__(self, samples: int = 8) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=samples)  # (round trip s, offset ms)
        self._offset = time.time() * 1000 - time.monotonic() * 1000

    def observe(self, sent: float, received: float, server_ms: float) -> None:
        """Add a sample.

        Args:
            sent: when the command was sent, monotonic seconds.
            received: when the reply was received, monotonic seconds.
            server_ms: the server's time in the reply, ms.
        """
        offset = server_ms - (sent + received) / 2 * 1000
        if self._samples:
            possible_ms = (received - sent + min(self._samples)[0]) / 2 * 1000 + DRIFT_MS
            if abs(offset - self._offset) > possible_ms:
                self._samples.clear()
        self._samples.append((received - sent, offset))
        self._offset = min(self._samples)[1]

    def at(self, monotonic: float) -> int:
        """Server ms at a moment of this host's monotonic clock (seconds)."""
        return round(monotonic * 1000 + self._offset)

    def now_ms(self) -> int:
        """Server ms now."""
        return self.at(time.monotonic())
