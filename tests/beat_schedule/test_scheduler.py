"""Celery's scheduler as adapted: what it runs, when, and what does not stop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import schedule

from beat_schedule.schedule import fixed_rate
from beat_schedule.scheduler import HRWScheduler
from tickfence.settings import load


class Broken(schedule):
    """A schedule that cannot tell when it is due."""

    def is_due(self, last_run_at: datetime) -> Any:
        raise ArithmeticError(f"no day after {last_run_at}")


class Recording(HRWScheduler):
    """Keeps the names of what it runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.ran: list[str] = []
        super().__init__(*args, **kwargs)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        assert producer is not None
        self.ran.append(entry.name)
        super().apply_entry(entry, producer)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """An application whose broker is in this process; one dispatcher, without a Redis to be found."""
    monkeypatch.setenv("NT_ENABLE_MULTI_INSTANCE", "false")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    load.cache_clear()  # a test before this one in the same process may have loaded others
    yield Celery(broker="memory://")
    load.cache_clear()


def scheduler(app: Celery, **schedules: schedule) -> Recording:
    app.conf.beat_schedule = {name: {"task": "some.task", "schedule": one} for name, one in schedules.items()}
    one = Recording(app=app, lazy=True)
    one.setup_schedule()
    return one


def run_until(one: HRWScheduler, condition: Callable[[], bool]) -> None:
    """As Celery's beat: tick, sleep for as long as it says, and again."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "not within 10 s"
        time.sleep(max(0.001, min(one.tick(), 0.05)))


def waiting(app: Celery) -> int:
    with app.connection_for_read() as connection:
        return int(connection.default_channel.queue_declare(app.conf.task_default_queue, passive=True).message_count)


def test_an_entry_that_is_not_fanned_out_is_sent_as_it_is_each_time_it_is_due(app: Celery) -> None:
    one = scheduler(app, one=fixed_rate(20, app=app))
    run_until(one, lambda: len(one.ran) >= 3)
    assert waiting(app) == len(one.ran)
    one.close()


def test_cycles_go_on_when_the_clock_is_set_back(app: Celery) -> None:
    step = timedelta()
    app.now = lambda: datetime.now(UTC) + step  # type: ignore[method-assign]
    one = scheduler(app, one=fixed_rate(20, app=app))

    def send_five() -> None:
        before = len(one.ran)
        run_until(one, lambda: len(one.ran) >= before + 5)

    send_five()
    step = timedelta(seconds=-60)
    send_five()
    step = timedelta()
    send_five()
    one.close()


def test_an_entry_that_cannot_tell_when_it_is_due_does_not_stop_the_others(
    app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    app.conf.beat_max_loop_interval = 0.2
    one = scheduler(app, broken=Broken(1, app=app), one=fixed_rate(20, app=app))
    run_until(one, lambda: len(one.ran) >= 30)
    assert set(one.ran) == {"one"}
    said = [record for record in caplog.records if "cannot tell when broken is due" in record.message]
    assert 2 <= len(said) <= 5, "it is asked again, and not at every tick"
    one.close()


def test_a_broker_that_is_away_stops_nothing_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NT_ENABLE_MULTI_INSTANCE", "false")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    app = Celery(broker="redis://127.0.0.1:1/0")
    one = scheduler(app, one=fixed_rate(20, app=app))
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        assert 0 <= one.tick() <= 0.025
        time.sleep(0.005)
    assert one.ran == []
    one.close()


def test_a_mistake_of_ours_is_no_broker_that_is_away(monkeypatch: pytest.MonkeyPatch, app: Celery) -> None:
    """Kombu lists KeyError among the errors of Redis's channel."""
    one = scheduler(app, one=fixed_rate(20, app=app))

    def fail(*_: object, **__: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(one, "apply_entry", fail)
    with pytest.raises(KeyError):
        run_until(one, lambda: False)
