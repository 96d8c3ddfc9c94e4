"""Celery's scheduler as adapted: what it runs, when, and what does not stop it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import crontab, schedstate, schedule

from beat_schedule.dispatcher import Dispatcher
from beat_schedule.schedule import fixed_rate
from beat_schedule.scheduler import HRWScheduler
from beat_schedule.slices import PHASE_MS, phase_of
from tickfence.coordination.dispatch import ALONE, Dispatch
from tickfence.coordination.shards import shard_of
from tickfence.monitoring import dispatcher_metrics
from tickfence.settings import load
from tools.local.embedded_redis import EmbeddedRedis


class Broken(schedule):
    """A schedule that cannot tell when it is due."""

    def is_due(self, last_run_at: datetime) -> Any:
        raise ArithmeticError(f"no day after {last_run_at}")


class Counting(schedule):
    """Is never due; counts how often it is asked."""

    asked = 0

    def is_due(self, last_run_at: datetime) -> schedstate:  # noqa: ARG002
        self.asked += 1
        return schedstate(is_due=False, next=3600)


class Once(schedule):
    """Is due until it has run once after ``moment``."""

    def __init__(self, moment: datetime, app: Celery) -> None:
        super().__init__(3600, app=app)
        self.moment = moment

    def is_due(self, last_run_at: datetime) -> schedstate:
        return schedstate(is_due=last_run_at < self.moment <= self.now(), next=0.05)


class Endless(schedule):
    """Does not know when it is due next."""

    def is_due(self, last_run_at: datetime) -> Any:  # noqa: ARG002
        return schedstate(is_due=False, next=None)


class DueCrontab(crontab):
    """Is always due."""

    def is_due(self, last_run_at: datetime) -> schedstate:  # noqa: ARG002
        return schedstate(is_due=True, next=0.05)


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


def broker_errors() -> float:
    return dispatcher_metrics.registry.get_sample_value("nt_dispatcher_broker_errors_total") or 0


def test_an_entry_is_asked_when_it_may_be_due_and_not_at_every_tick(app: Celery) -> None:
    counting = Counting(1, app=app)
    one = scheduler(app, counting=counting)
    until = time.monotonic() + 1.5
    run_until(one, lambda: time.monotonic() > until)
    counting = one.schedule["counting"].schedule
    assert 2 <= counting.asked <= 3, "at least once a second: the clock may be set"
    one.schedule["counting"] = ScheduleEntry(name="counting", task="some.task", schedule=Counting(1, app=app), app=app)
    one.tick()
    assert one.schedule["counting"].schedule.asked == 1, "another entry of the same name is asked at once"
    one.close()


def test_an_entry_that_falls_due_while_the_broker_is_away_is_sent_when_it_is_back(
    app: Celery, own_redis_server: Callable[..., EmbeddedRedis]
) -> None:
    server = own_redis_server()
    server.kill()
    app = Celery(broker=server.url())
    one = scheduler(app, one=Once(datetime.now(UTC) + timedelta(seconds=0.2), app))
    until = time.monotonic() + 0.6
    run_until(one, lambda: time.monotonic() > until)
    server.start()
    run_until(one, lambda: one.ran == ["one"])
    with server.client() as client:
        assert client.llen(app.conf.task_default_queue) == 1
    one.close()


def test_an_entry_that_could_not_be_sent_counts_as_a_broker_that_is_away(
    app: Celery, own_redis_server: Callable[..., EmbeddedRedis]
) -> None:
    server = own_redis_server()
    app = Celery(broker=server.url())
    one = scheduler(app, one=fixed_rate(20, app=app))
    run_until(one, lambda: len(one.ran) >= 2)
    before = broker_errors()
    server.kill()
    run_until(one, lambda: broker_errors() >= before + 2)
    server.start()
    ran = len(one.ran)
    run_until(one, lambda: len(one.ran) > ran + 2)
    one.close()


def test_an_argument_that_cannot_be_sent_is_no_broker_that_is_away(
    app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    one = scheduler(app, one=fixed_rate(20, app=app))
    one.schedule["one"].args = (object(),)
    before = broker_errors()
    run_until(one, lambda: len(one.ran) >= 3)
    assert "cannot run one (some.task)" in caplog.messages
    assert broker_errors() == before
    one.close()


def test_an_entry_that_does_not_know_when_it_is_due_next_does_not_stop_the_others(app: Celery) -> None:
    one = scheduler(app, endless=Endless(1, app=app), one=fixed_rate(20, app=app))
    run_until(one, lambda: len(one.ran) >= 3)
    one.close()


def test_a_task_whose_schedule_has_no_period_to_be_spread_over_does_not_stop_the_others(
    app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task(name="spread.task", fan_out=True, spread=False)
    def spread() -> None: ...

    # An entry's name is a label, and only the names of the two cycles have a series.
    one = scheduler(app, **{"slow-cycle": DueCrontab(app=app)}, one=fixed_rate(20, app=app))
    one.schedule["slow-cycle"].task = spread.name
    run_until(one, lambda: one.ran.count("one") >= 3)
    assert "cannot run slow-cycle (spread.task)" in caplog.messages
    one.close()


def test_a_mistake_of_ours_is_no_broker_that_is_away(
    monkeypatch: pytest.MonkeyPatch, app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    """Kombu lists KeyError among the errors of Redis's channel."""
    one = scheduler(app, one=fixed_rate(20, app=app))

    def fail(*_: object, **__: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(one, "apply_entry", fail)
    before = broker_errors()
    run_until(one, lambda: "cannot run one (some.task)" in caplog.messages)
    assert broker_errors() == before
    one.close()


class StandBy(Dispatcher):
    """Stands by until it is told to send."""

    sends = False

    @property
    def shards(self) -> Mapping[int, int]:
        return super().shards if self.sends else {}


def test_who_begins_to_send_goes_on_in_the_middle_of_the_cycle(
    app: Celery, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beat_schedule.scheduler.Dispatcher", StandBy)
    app.conf.broker_url = redis_server.url(1)

    @app.task(name="fan.out", fan_out=True, spread=False)
    def fan_out(symbols: list[str], dispatch: list[object]) -> None: ...

    period_ms = 1000
    app.conf.beat_schedule = {"fast-cycle": {"task": fan_out.name, "schedule": fixed_rate(period_ms, app=app)}}
    one = HRWScheduler(app=app, lazy=True)
    one.setup_schedule()

    def passed_ms() -> float:
        return time.time() * 1000 % period_ms

    run_until(one, lambda: passed_ms() > 800)
    run_until(one, lambda: 200 < passed_ms() < 400)
    taken: list[bytes] = []
    with redis_server.client(db=1) as broker:

        def the_next_cycle_has_begun() -> bool:
            taken.extend(broker.lpop(ALONE, 100) or ())  # as a node does: to a queue that is full nothing is sent
            return passed_ms() < 200

        broker.delete(ALONE)
        since_ms = passed_ms()
        one.dispatcher.sends = True  # type: ignore[attr-defined]
        run_until(one, the_next_cycle_has_begun)
    bodies = [base64.b64decode(json.loads(message)["body"]) for message in taken]
    one.close()
    sent = [
        (symbols, Dispatch(*dispatch).sent_ms // period_ms) for (symbols, dispatch), _, _ in map(json.loads, bodies)
    ]
    in_this_cycle = {
        symbol for symbols, cycle in sent if cycle == min(cycle for _, cycle in sent) for symbol in symbols
    }
    phases = 16
    to_come = {s for s in load().symbols if phase_of(s, phases) * period_ms / phases > since_ms + PHASE_MS}
    assert to_come
    assert to_come <= in_this_cycle


class Split(Dispatcher):
    """Sends for the first shard, of as many as it is told."""

    shard_count = 3


def test_what_waits_for_a_node_is_of_the_shards_that_there_are(
    app: Celery, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where something always waits, because the node cannot keep up."""
    period_ms = 100
    monkeypatch.setattr("beat_schedule.scheduler.Dispatcher", Split)
    app.conf.broker_url = redis_server.url(1)

    @app.task(name="fan.out.split", fan_out=True, spread=False)
    def fan_out(symbols: list[str], dispatch: list[object]) -> None: ...

    app.conf.beat_schedule = {"fast-cycle": {"task": fan_out.name, "schedule": fixed_rate(period_ms, app=app)}}
    one = HRWScheduler(app=app, lazy=True)
    one.setup_schedule()
    with redis_server.client(db=1) as broker:
        sent: set[str] = set()
        takes_at = time.monotonic()

        def the_node_has_got(symbols: set[str]) -> bool:
            nonlocal takes_at
            if time.monotonic() >= takes_at and broker.llen(ALONE) > 1:
                takes_at = time.monotonic() + 1.5 * period_ms / 1000
                (symbols_of_one, _), _, _ = json.loads(base64.b64decode(json.loads(broker.lpop(ALONE))["body"]))
                sent.update(symbols_of_one)
            return sent >= symbols

        broker.delete(ALONE)
        of_the_shard = {symbol for symbol in load().symbols if shard_of(symbol, 3) == 0}
        assert of_the_shard < set(load().symbols)
        run_until(one, lambda: the_node_has_got(of_the_shard))
        one.dispatcher.shard_count = 1  # type: ignore[misc]
        # Symbols are dispatched at once when the shards change. Those of the cycles must follow.
        run_until(one, lambda: the_node_has_got(set(load().symbols)))
        sent.clear()
        run_until(one, lambda: the_node_has_got(set(load().symbols)))
    one.close()
