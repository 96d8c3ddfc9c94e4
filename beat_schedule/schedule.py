"""The schedule: two cycles, each at a fixed rate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import schedstate, schedule

from tickfence.settings import Settings

FAST_CYCLE = "fast-cycle"
SLOW_CYCLE = "slow-cycle"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class fixed_rate(schedule):
    """A Celery schedule that is due at every whole multiple of its period since the epoch.

    Celery's plain ``schedule`` counts each period from when the last run happened to be, so delays add up: at 4 Hz
    that loses cycles. Here they do not add up. A cycle that was slept through is skipped, and all dispatchers share
    one grid.

    Args:
        period_ms: the period.
        options: as for :class:`celery.schedules.schedule`.

    Example:
        >>> every = fixed_rate(250)
        >>> every.next_after(datetime(2026, 1, 1, 0, 0, 0, 260_000, UTC)).microsecond
        500000
    """

    def __init__(self, period_ms: int, **options: Any) -> None:
        super().__init__(timedelta(milliseconds=period_ms), **options)
        self.period_ms = period_ms

    def cycle(self, moment: datetime) -> int:
        """Number of the cycle that ``moment`` is in."""
        return (moment - _EPOCH) // self.run_every

    def next_after(self, moment: datetime) -> datetime:
        """Start of the first cycle after ``moment``."""
        return _EPOCH + (self.cycle(moment) + 1) * self.run_every

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether a new cycle has begun since ``last_run_at``, and the seconds to the next one."""
        now = self.now()
        # Not ">": a clock that was set back must not stop the cycles until it has caught up.
        due = self.cycle(now) != self.cycle(last_run_at)
        return schedstate(is_due=due, next=(self.next_after(now) - now).total_seconds())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.period_ms,)

    def __repr__(self) -> str:
        return f"<fixed_rate: every {self.period_ms} ms>"


def entries(settings: Settings) -> dict[str, dict[str, Any]]:
    """Celery's ``beat_schedule``: both cycles, or nothing if reports are off."""
    if not settings.nt_enable_kv_reports:
        return {}
    return {
        FAST_CYCLE: _entry("tasks.fast_cycle", settings.nt_report_period_ms),
        SLOW_CYCLE: _entry("tasks.slow_cycle", settings.nt_slow_period_ms),
    }


def _entry(task: str, period_ms: int) -> dict[str, Any]:
    # RabbitMQ drops a message that has expired; on Redis the node does.
    return {"task": task, "schedule": fixed_rate(period_ms), "options": {"expiration": period_ms / 1000}}
