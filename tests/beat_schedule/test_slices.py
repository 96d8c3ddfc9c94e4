"""How a cycle is spread over its period."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import Celery
from celery.beat import ScheduleEntry
from hypothesis import given
from hypothesis import strategies as st

from beat_schedule.schedule import fixed_rate
from beat_schedule.slices import SlicedCycle, slice_of


def spread(symbols: int, *, period_ms: int = 250, cap: int = 32, spread_task: bool = False) -> SlicedCycle:
    entry = ScheduleEntry(name="one", task="one", schedule=fixed_rate(period_ms), app=Celery())
    one = SlicedCycle.of(entry, SimpleNamespace(spread=spread_task), cap)
    one.follow(tuple(f"S{n}USDT" for n in range(symbols)))
    return one


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, 5),  # a step is 50 ms at least
        ({"cap": 4}, 4),
        ({"period_ms": 100}, 2),
        ({"period_ms": 20}, 1),
        ({"period_ms": 150}, 3),
        ({"period_ms": 300}, 6),
        ({"period_ms": 350}, 7),
        ({"period_ms": 2000, "spread_task": True}, 32),
        ({"period_ms": 200, "spread_task": True}, 4),
    ],
)
def test_steps_of_a_cycle(options: dict, steps: int) -> None:
    for symbols in (1, 6, 1000):
        one = spread(symbols, **options)
        assert len(one.slices) == steps
        assert sum(len(part) for part in one.slices) == symbols


def test_a_thousand_symbols_are_spread_about_evenly() -> None:
    sizes = [len(part) for part in spread(1000).slices]
    assert min(sizes) > 150
    assert max(sizes) < 250


@given(st.sets(st.integers(0, 10**6), min_size=1, max_size=50), st.integers(1, 40))
def test_a_symbol_keeps_its_moment_when_others_come_and_go(numbers: set[int], count: int) -> None:
    names = sorted(f"S{number}USDT" for number in numbers)
    entry = ScheduleEntry(name="one", task="one", schedule=fixed_rate(250), app=Celery())
    one, few = SlicedCycle(entry, count, 1, urgent=True), SlicedCycle(entry, count, 1, urgent=True)
    one.follow(names)
    few.follow(names[::2])
    for number, symbols in enumerate(few.slices):
        assert set(symbols) <= set(one.slices[number])


def test_steps_are_even_over_the_period_and_fall_due_one_by_one() -> None:
    one = spread(80)
    symbols = tuple(f"S{n}USDT" for n in range(80))
    one.begin(one.entry, symbols, 100.0)
    assert [round(at, 3) for at, _ in one.due] == [round(100 + n * 0.05, 3) for n in range(5)]
    assert one.pop_due(99.9) == []
    assert one.pop_due(100.0) == [0]
    assert one.pop_due(100.101) == [1, 2]
    one.begin(one.entry, symbols, 100.25)
    assert one.pop_due(100.25) == [3, 4, 0], "what is overdue is not forgotten"
    one.begin(one.entry, symbols, 100.35)
    assert one.pop_due(100.35) == [1, 2, 0], "what a new cycle comes before is not sent twice"


def test_a_slice_without_symbols_does_not_fall_due() -> None:
    one = spread(0)
    one.begin(one.entry, ("BTCUSDT",), 100.0)
    assert [number for _, number in one.due] == [slice_of("BTCUSDT", 5)]


def test_no_more_messages_a_cycle_than_the_cap() -> None:
    for cap in (1, 3, 32, 100):
        one = spread(6, cap=cap)
        assert len(one.slices) * one.message_limit <= cap
