"""The pauses between attempts: a fault that lasts costs little, and one that has passed costs one report."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.retry import LONGEST_PAUSE_S, SAME_TROUBLE_S, Retry


def failing_at_every_attempt(attempts: int) -> list[float]:
    """The times of the attempts."""
    retry, times = Retry(), [0.0]
    while len(times) < attempts:
        retry.failed(times[-1])
        times.append(retry.at)
    return times


def test_the_first_retry_is_at_once_and_the_pauses_then_double_up_to_half_a_minute() -> None:
    times = failing_at_every_attempt(12)
    pauses = [late - early for early, late in pairwise(times)]
    assert pauses == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


@pytest.mark.parametrize("worked_s", [0.0, 0.25, 2.0, SAME_TROUBLE_S])
def test_a_failure_soon_after_a_retry_is_the_same_trouble(worked_s: float) -> None:
    retry = Retry()
    retry.failed(0.0)
    retry.failed(worked_s)
    assert retry.at == worked_s + 0.25


@given(st.integers(1, 20))
def test_a_failure_after_it_has_worked_for_a_while_is_the_first(failures: int) -> None:
    retry, now_s = Retry(), 0.0
    for _ in range(failures):
        retry.failed(now_s)
        now_s = retry.at
    now_s += LONGEST_PAUSE_S + 1
    retry.failed(now_s)
    assert retry.at == now_s
