"""A schedule that keeps its rate: due once in every period, however it is asked."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beat_schedule.schedule import fixed_rate

periods = st.integers(20, 60_000)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


class Hands:
    """A clock that stands where it is put."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def schedule(period_ms: int, hands: Hands) -> fixed_rate:
    return fixed_rate(period_ms, nowfun=hands)


@given(periods, moments)
def test_the_next_start_is_the_first_whole_multiple_after(period_ms: int, moment: datetime) -> None:
    following = fixed_rate(period_ms).next_after(moment)
    assert moment < following <= moment + timedelta(milliseconds=period_ms)
    assert round(following.timestamp() * 1000) % period_ms == 0
    assert fixed_rate(period_ms).cycle(following) == fixed_rate(period_ms).cycle(moment) + 1


@given(periods, moments, st.lists(st.integers(1, 1000), min_size=1, max_size=60))
def test_asked_often_enough_it_is_due_once_in_every_cycle(period_ms: int, start: datetime, parts: list[int]) -> None:
    """Each wait is some part of a period, so that no cycle goes by unasked."""
    hands = Hands(start)
    every = schedule(period_ms, hands)
    last_run, ran = start, []
    for part in parts:
        hands.now += timedelta(milliseconds=period_ms) * part / 1000
        if every.is_due(last_run).is_due:
            last_run = hands.now
            ran.append(every.cycle(hands.now))
    assert ran == list(range(every.cycle(start) + 1, every.cycle(hands.now) + 1))


@given(periods, moments, st.lists(st.floats(0, 0.9), min_size=5, max_size=60))
def test_slept_through_to_the_next_start_it_does_not_drift(
    period_ms: int, start: datetime, delays: list[float]
) -> None:
    """As beat does it: sleep for as long as it says, wake a little late, run, ask again."""
    hands = Hands(start)
    every = schedule(period_ms, hands)
    last_run = start
    period = timedelta(milliseconds=period_ms)
    for number, delay in enumerate(delays, 1):
        state = every.is_due(last_run)
        assert not state.is_due
        hands.now += timedelta(seconds=state.next) + timedelta(microseconds=1) + period * delay
        assert every.is_due(last_run).is_due
        last_run = hands.now
        assert every.cycle(hands.now) == every.cycle(start) + number


@given(periods, moments, st.integers(2, 50), st.floats(0.01, 0.99))
def test_cycles_that_were_slept_through_are_skipped_not_made_up_for(
    period_ms: int, start: datetime, missed: int, part: float
) -> None:
    hands = Hands(fixed_rate(period_ms).next_after(start))
    every = schedule(period_ms, hands)
    last_run = hands.now
    hands.now += timedelta(milliseconds=period_ms) * (missed + part * 0.9)
    assert every.is_due(last_run).is_due
    assert not every.is_due(hands.now).is_due


@given(periods, moments, st.integers(1, 1000))
def test_a_clock_that_was_set_back_does_not_silence_it(period_ms: int, start: datetime, back: int) -> None:
    hands = Hands(start)
    every = schedule(period_ms, hands)
    hands.now = start - timedelta(milliseconds=period_ms) * back
    assert every.is_due(start).is_due
    assert not every.is_due(hands.now).is_due
    assert 0 < every.is_due(hands.now).next <= period_ms / 1000 + 1e-6


@pytest.mark.parametrize("period_ms", [250, 2000])
def test_it_travels_as_what_it_is(period_ms: int) -> None:
    again = pickle.loads(pickle.dumps(fixed_rate(period_ms)))
    assert again.period_ms == period_ms
    assert again == fixed_rate(period_ms)
    assert again.run_every == timedelta(milliseconds=period_ms)
    assert repr(again) == f"<fixed_rate: every {period_ms} ms>"
