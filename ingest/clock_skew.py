"""How far the clocks of Redis and of the exchange differ."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import inf

from tickfence.monitoring import ingest_metrics as metrics

logger = logging.getLogger(__name__)

HALF_S = 30.0
FIRST_WARNING_S = 10.0
"""Longer than any stall at the start of a process or of a connection."""
WARN_EVERY_S = 60.0
TOLERATED_MS = 1_000.0


class ClockSkew:
    """The smallest lag of an event over the last 30 to 60 s: received on Redis's clock, minus sent on the exchange's.

    The event with the smallest lag has waited least. Its lag is the difference of the clocks plus the shortest delay of
    the network. A lag below 0 proves that the exchange's clock is ahead.

    Args:
        venue: the exchange's name.
        clock: seconds that never go back.
    """

    def __init__(self, venue: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._venue = venue
        self._clock = clock
        self._lowest_ms = self._lowest_before_ms = inf
        self._half_until = clock() + HALF_S
        self._warn_at: float | None = None

    def observe(self, lag_ms: float) -> None:
        """Take in the lag of one event."""
        if lag_ms < self._lowest_ms:  # noqa: PLR1730 - once a diff, and min() takes three times as long
            self._lowest_ms = lag_ms

    def tell(self) -> None:
        """Set the metric, and warn once a minute while the clocks differ by more than a second."""
        skew_ms = min(self._lowest_ms, self._lowest_before_ms)
        if skew_ms == inf:
            return
        metrics.clock_skew.labels(self._venue).set(skew_ms)
        now = self._clock()
        if self._warn_at is None:
            self._warn_at = now + FIRST_WARNING_S
        if now >= self._warn_at and abs(skew_ms) > TOLERATED_MS:
            self._warn_at = now + WARN_EVERY_S
            logger.warning(
                "the clocks of Redis and of the exchange differ",
                extra={"venue": self._venue, "redis_ahead_ms": skew_ms},
            )
        if now >= self._half_until:
            self._half_until = now + HALF_S
            self._lowest_before_ms, self._lowest_ms = self._lowest_ms, inf
