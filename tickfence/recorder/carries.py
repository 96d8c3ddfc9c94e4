"""Which carries to record: few of many. No I/O.

An owner leaves a new one every few seconds, and most are never used. What a start from the snapshot has taken over is
needed to make its reports again; its basis names that, by a digest. One at each start of recording and each hour is kept
as well.
"""

from __future__ import annotations

from tickfence.analytics import basis
from tickfence.recordings.layout import HOUR_MS

KEPT = 8
"""Carries in memory: the one that a start has taken over may have been replaced when its basis is read."""


class Carries:
    """The last carries of one symbol."""

    def __init__(self) -> None:
        self._last: dict[bytes, bytes] = {}
        self._hour = -1

    def saw(self, carry: bytes, now_ms: int) -> bool:
        """Take a carry that is new; return whether it is to be recorded in any case."""
        self._last[basis.digest(carry)] = carry
        if len(self._last) > KEPT:
            del self._last[next(iter(self._last))]
        hour, self._hour = self._hour, now_ms // HOUR_MS
        return hour != self._hour

    def named(self, packed: bytes) -> bytes | None:
        """The carry that a basis names, if that is a start which took one over, and it is known."""
        try:
            found = basis.decode(packed)
        except ValueError:
            return None  # who converts the entry says so
        return self._last.get(found.start.carried) if found.start and found.start.carried else None
