"""The schedule: a plain Celery dict."""

from __future__ import annotations

from typing import Any

from beat_schedule.fixed_rate import fixed_rate
from tickfence.settings import Settings

FAST_CYCLE = "fast-cycle"
SLOW_CYCLE = "slow-cycle"


def entries(settings: Settings) -> dict[str, dict[str, Any]]:
    """``beat_schedule`` for Celery. Empty where reports are off: then there is nothing to dispatch."""
    if not settings.nt_enable_kv_reports:
        return {}
    return {
        FAST_CYCLE: _entry("tasks.fast_cycle", settings.nt_report_period_ms),
        SLOW_CYCLE: _entry("tasks.slow_cycle", settings.nt_slow_period_ms),
    }


def _entry(task: str, period_ms: int) -> dict[str, Any]:
    # RabbitMQ drops a message that has expired; on Redis the node does.
    return {"task": task, "schedule": fixed_rate(period_ms), "options": {"expiration": period_ms / 1000}}
