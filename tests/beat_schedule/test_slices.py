"""How a cycle is spread over its period."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import Celery
from celery.beat import ScheduleEntry

from beat_schedule.schedule import fixed_rate
from beat_schedule.slices import SlicedCycle
from tickfence.settings import Settings


def spread(symbols: int, *, period_ms: int = 250, cap: int = 32, spread_task: bool = False) -> SlicedCycle:
    settings = Settings.from_environment(
        {"SYMBOLS": ",".join(f"S{n}USDT" for n in range(symbols)), "NT_MAX_TASKS_PER_CYCLE": str(cap)}
    )
    entry = ScheduleEntry(name="one", task="one", schedule=fixed_rate(period_ms), app=Celery())
    return SlicedCycle.of(entry, SimpleNamespace(spread=spread_task), settings)


@pytest.mark.parametrize(
    ("symbols", "options", "steps"),
    [
        (6, {}, 1),
        (8, {}, 1),
        (9, {}, 2),
        (30, {}, 4),
        (80, {}, 5),
        (1000, {}, 5),  # a step is 50 ms at least
        (1000, {"cap": 4}, 4),
        (1000, {"period_ms": 100}, 2),
        (1000, {"period_ms": 20}, 1),
        (1000, {"period_ms": 150}, 3),
        (1000, {"period_ms": 300}, 6),
        (1000, {"period_ms": 350}, 7),
        (1000, {"period_ms": 2000, "spread_task": True}, 32),
        (1000, {"period_ms": 200, "spread_task": True}, 4),
        (3, {"period_ms": 2000, "spread_task": True}, 3),
    ],
)
def test_steps_of_a_cycle(symbols: int, options: dict, steps: int) -> None:
    one = spread(symbols, **options)
    assert len(one.slices) == steps
    assert sum(len(part) for part in one.slices) == symbols


def test_steps_are_even_over_the_period_and_fall_due_one_by_one() -> None:
    one = spread(80)
    one.begin(one.entry, 100.0)
    assert [round(at, 3) for at, _ in one.due] == [round(100 + n * 0.05, 3) for n in range(5)]
    assert one.pop_due(99.9) == []
    assert one.pop_due(100.0) == [0]
    assert one.pop_due(100.101) == [1, 2]
    one.begin(one.entry, 100.25)
    assert one.pop_due(100.25) == [3, 4, 0], "what is overdue is not forgotten"
    one.begin(one.entry, 100.35)
    assert one.pop_due(100.35) == [1, 2, 0], "what a new cycle comes before is not sent twice"


def test_no_more_messages_a_cycle_than_the_cap() -> None:
    for symbols in (1, 6, 30, 200, 1000):
        for cap in (1, 3, 32, 100):
            one = spread(symbols, cap=cap)
            assert len(one.slices) * one.message_limit <= cap
