"""What counts as a report on time."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.benchmarks.peers.on_time import longest_gap, share_on_time

PERIOD = 0.25


def every(period: float, seconds: float, start: float = 0.1) -> list[float]:
    return [start + i * period for i in range(int((seconds - start) / period) + 1)]


@given(st.floats(0, PERIOD), st.integers(4, 60))
def test_a_steady_rate_is_all_on_time_wherever_the_window_begins(start: float, seconds: int) -> None:
    assert share_on_time(every(PERIOD, seconds, start), 0, seconds, PERIOD) == pytest.approx(1)


@given(st.lists(st.floats(-0.06, 0.06), min_size=41, max_size=41))
def test_jitter_within_a_fourth_of_a_period_makes_nothing_late(jitter: list[float]) -> None:
    times = [0.2 + i * PERIOD + late for i, late in enumerate(jitter)]
    assert share_on_time(times, 0, 10.5, PERIOD) >= 40 / (41 + 1)


@pytest.mark.parametrize(("period", "share", "forgiven"), [(0.26, 0.25 / 0.26, 1.0), (0.3, 0.25 / 0.3, 0.25 / 0.27)])
def test_a_drift_costs_its_share_unless_forgiven(period: float, share: float, forgiven: float) -> None:
    times = every(period, 60)
    assert share_on_time(times, 0, 60, PERIOD) == pytest.approx(share)
    assert share_on_time(times, 0, 60, PERIOD, rate=0.9) == pytest.approx(forgiven)


def test_an_even_rate_that_is_too_low_by_half_has_nothing_on_time() -> None:
    assert share_on_time(every(2 * PERIOD, 10), 0, 10, PERIOD) == 0


def test_a_missing_report_is_missed_at_the_windows_edges_too() -> None:
    times = every(PERIOD, 10)
    middle = share_on_time([*times[:20], *times[24:]], 0, 10, PERIOD)
    assert middle == pytest.approx(34 / 39)
    for cut in (times[4:], times[:-4]):
        assert share_on_time(cut, 0, 10, PERIOD) == pytest.approx(middle, abs=0.03)


def test_without_reports_nothing_is_on_time() -> None:
    assert share_on_time([], 0, 10, PERIOD) == 0
    assert share_on_time([11.0], 0, 10, PERIOD) == 0
    assert share_on_time([5.0], 0, 10, PERIOD) == 0


def test_bursts_do_not_make_good_for_what_came_late() -> None:
    times = sorted([*every(4 * PERIOD, 10), *(time + 0.01 for time in every(4 * PERIOD, 10))])
    assert share_on_time(times, 0, 10, PERIOD) < 0.3


@given(st.lists(st.floats(0.01, 2.0), min_size=1, max_size=30), st.floats(0, 10))
def test_the_longest_gap_is_that_of_a_plain_search(gaps: list[float], since: float) -> None:
    times = list(accumulate(gaps))
    until = max(times[-1], since) + 0.5
    points = [min(since, times[0]), *times, until]
    wanted = max(b - a for a, b in pairwise(points) if b > since)
    assert longest_gap(times, since, until) == pytest.approx(wanted)


def test_a_gap_that_still_lasts_and_one_without_a_report_before() -> None:
    assert longest_gap([1.0, 1.25], since=1.1, until=9.25) == 8.0
    assert longest_gap([], since=3.0, until=4.5) == 1.5
    assert longest_gap([4.0], since=3.0, until=4.1) == 1.0
