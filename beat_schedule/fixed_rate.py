"""A Celery schedule that keeps its rate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import schedstate, schedule

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class fixed_rate(schedule):
    """Due at every whole multiple of ``period_ms`` since the epoch.

    Celery's plain ``schedule`` counts each period from when the last run happened to be, so every delay adds up:
    at 4 Hz that loses cycles. Here delays never add up; a cycle that was slept through is skipped, not made
    up for; and all dispatchers share one grid.

    Example:
        >>> every = fixed_rate(250)
        >>> every.next_after(datetime(2026, 1, 1, 0, 0, 0, 260_000, UTC)).microsecond
        500000
    """

    def __init__(self, period_ms: int, **options: Any) -> None:
        super().__init__(timedelta(milliseconds=period_ms), **options)
        self.period_ms = period_ms

    def cycle(self, moment: datetime) -> int:
        """Number of the cycle that ``moment`` falls in."""
        return (moment - _EPOCH) // timedelta(milliseconds=self.period_ms)

    def next_after(self, moment: datetime) -> datetime:
        """Start of the first cycle after ``moment``."""
        return _EPOCH + (self.cycle(moment) + 1) * timedelta(milliseconds=self.period_ms)

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether a new cycle has begun since ``last_run_at``, and the seconds to the next one."""
        now = self.now()
        # A clock that was set back must not silence the schedule until it has caught up.
        due = self.cycle(now) != self.cycle(last_run_at)
        return schedstate(is_due=due, next=(self.next_after(now) - now).total_seconds())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.period_ms,)

    def __repr__(self) -> str:
        return f"<fixed_rate: every {self.period_ms} ms>"
