"""A wall clock that is set back: Celery's schedule counts by it, cycles must go on."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.beat import ScheduleEntry

from beat_schedule.fixed_rate import fixed_rate
from beat_schedule.scheduler import HRWScheduler


def test_cycles_go_on_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NT_ENABLE_MULTI_INSTANCE", "false")
    step = timedelta()
    app = Celery()
    app.now = lambda: datetime.now(UTC) + step  # type: ignore[method-assign]
    app.conf.beat_schedule = {"one": {"task": "one", "schedule": fixed_rate(20, app=app)}}
    sent: list[str] = []

    class Sender(HRWScheduler):
        producer: Any = None

        def _look(self) -> None:
            """No Redis here."""

        def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
            del producer
            sent.append(entry.name)

    scheduler = Sender(app=app, lazy=True)
    scheduler.setup_schedule()

    def send_five() -> None:
        before, deadline = len(sent), time.monotonic() + 10
        while len(sent) < before + 5:
            assert time.monotonic() < deadline, "nothing is sent"
            time.sleep(max(0.001, min(scheduler.tick(), 0.05)))

    send_five()
    step = timedelta(seconds=-60)
    send_five()
    step = timedelta()
    send_five()


def test_a_mistake_of_ours_is_no_unreachable_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kombu lists KeyError among Redis' errors."""
    monkeypatch.setenv("NT_ENABLE_MULTI_INSTANCE", "false")
    scheduler = HRWScheduler(app=Celery(broker="redis://127.0.0.1:1/0"), lazy=True)
    assert not issubclass(KeyError, scheduler._unreachable)
    assert issubclass(ConnectionRefusedError, scheduler._unreachable)
