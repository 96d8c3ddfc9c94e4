"""Which days of a recording are deleted, and when."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from tickfence.monitoring import recorder_metrics as metrics
from tickfence.monitoring.log_limit import LogLimit
from tickfence.recordings.layout import DAY_MS, HOUR_MS, day_start_ms
from tickfence.recordings.store import Store

logger = logging.getLogger(__name__)

Span = tuple[int, int]
"""From a time up to and without another, Unix ms."""


def expired(days: Iterable[str], now_ms: int, keep_days: int, reading: Iterable[Span]) -> list[str]:
    """Return the folders of days that ended more than ``keep_days`` days ago and that nobody reads, oldest first.

    The age counts from the newest day there is, at most: its rows carry the exchange's time, so a clock of this machine
    that is ahead deletes nothing.

    Args:
        days: the folders.
        now_ms: Unix time, ms.
        keep_days: at least 1.
        reading: times that are read now.

    Example:
        >>> expired(["day=2025-11-24", "day=2025-11-25", "day=2025-11-26"], 2**53, 1, [])
        ['day=2025-11-24']
    """
    starts = {day: start for day in days if (start := day_start_ms(day)) is not None}
    newest = max(starts.values(), default=0) + DAY_MS
    ends_by = min(now_ms, newest) - keep_days * DAY_MS
    spans = list(reading)
    return [
        day
        for day, start in sorted(starts.items())
        if start + DAY_MS <= ends_by and not any(first < start + DAY_MS and start < end for first, end in spans)
    ]


class Retention:
    """Deletes whole days of a recording, every hour. Several recorders may do so at once.

    Args:
        store: the recording.
        keep_days: how many days before the newest one stay; 0 keeps all.
        reading: returns the times that batch jobs read now, or raises.
    """

    def __init__(self, store: Store, keep_days: int, reading: Callable[[], Iterable[Span]]) -> None:
        self._store, self._keep_days, self._reading = store, keep_days, reading
        self._hour = -1
        self._say = LogLimit(600.0)

    def sweep(self, now_ms: int) -> None:
        """Delete what is expired, if that was not done in this hour. Where anything fails, the next call tries again."""
        hour = now_ms // HOUR_MS
        if not self._keep_days or hour == self._hour:
            return
        try:
            days = self._store.days()
            if expired(days, now_ms, self._keep_days, ()):
                for day in expired(days, now_ms, self._keep_days, self._reading()):
                    self._store.delete_day(day)
                    logger.info("day of recordings deleted", extra={"day": day, "keep_days": self._keep_days})
            self._hour = hour
        except Exception as error:  # noqa: BLE001 - of Redis, a file system or an object store: old days stay
            metrics.errors.labels(metrics.Failure.RETENTION).inc()
            if self._say.allows("retention") is not None:
                extra = {"recordings": self._store.root, "error": f"{type(error).__name__}: {error}"}
                logger.error("old recordings cannot be deleted; they stay", extra=extra)
