"""Streams whose subscription an exchange has refused: when to subscribe to them again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator

from tickfence.redis_access.outage import Backoff

FIRST_AGAIN_S, MAXIMUM_AGAIN_S = 60.0, 900.0


class RefusedStreams:
    """The streams that one connection goes without, and when it asks for them again: together, with growing pauses.

    So they cost a connection few control messages, however many they are and however long they are refused.

    Args:
        clock: seconds that never go back.

    Example:
        >>> refused = RefusedStreams()
        >>> refused.add(["book ABC"]), refused.due, "book ABC" in refused
        (60.0, False, True)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._streams: set[str] = set()
        self._again_at = -math.inf
        self._backoff = Backoff(base=FIRST_AGAIN_S, cap=MAXIMUM_AGAIN_S)

    def __contains__(self, stream: str) -> bool:
        return stream in self._streams

    def __iter__(self) -> Iterator[str]:
        return iter(self._streams)

    @property
    def due(self) -> bool:
        """Whether to subscribe to all of them now."""
        return bool(self._streams) and self._clock() >= self._again_at

    @property
    def left_s(self) -> float | None:
        """Seconds until they are due; ``None`` if there are none."""
        return max(self._again_at - self._clock(), 0.0) if self._streams else None

    def add(self, streams: Collection[str]) -> float:
        """Leave these streams out; return for how many seconds."""
        now = self._clock()
        self._streams.update(streams)
        if now < self._again_at:
            return self._again_at - now
        if now >= self._again_at + MAXIMUM_AGAIN_S:
            self._backoff.reset()
        pause_s = self._backoff.next_s()
        self._again_at = now + pause_s
        return pause_s

    def keep(self, wanted: Collection[str]) -> None:
        """Forget those that are not wanted any more."""
        self._streams.intersection_update(wanted)

    def clear(self) -> None:
        """Forget them all: they are subscribed to again."""
        self._streams.clear()
