"""Walls and vacuums: by hand, at their thresholds, and against the oracle."""

from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles import liquidity
from tickfence.analytics.book_side import Columns
from tickfence.analytics.liquidity.vacuums import find_vacuums
from tickfence.analytics.liquidity.walls import find_walls

QUANTITY = st.sampled_from([1e-8, 1.0, 1.5, 2.0, 3.0, 4.5, 9.0, 1e12])
LEVELS = st.dictionaries(st.integers(1, 200).map(float), QUANTITY, max_size=60)
PERCENTILE = st.sampled_from([1e-8, 1.0, 1.5, 2.0, 3.0, 1e12])


def columns(levels):
    return Columns(*np.array(levels, dtype=float).reshape(-1, 2).T)


def walls(side, levels, p95):
    found = find_walls(side, columns(levels), p95)
    assert msgspec.to_builtins(found) == liquidity.walls(side, levels, p95)
    return found


def vacuums(bids, asks, p10):
    found = find_vacuums(columns(bids), columns(asks), p10)
    assert msgspec.to_builtins(found) == liquidity.vacuums(bids, asks, p10)
    return found


def best_first(bids, asks):
    asks = {1000.0 + price: quantity for price, quantity in asks.items()}
    return sorted(bids.items(), reverse=True), sorted(asks.items())


@pytest.mark.parametrize(
    ("quantity", "severity"),
    [(14.9, None), (15.0, "low"), (29.9, "low"), (30.0, "medium"), (44.9, "medium"), (45.0, "high"), (1e12, "high")],
)
def test_wall_thresholds(quantity, severity):
    found = walls("ask", [(100.0, 1.0), (101.0, quantity)], 10.0)
    assert [(wall.side, wall.price, wall.qty, wall.severity) for wall in found] == (
        [("ask", 101.0, quantity, severity)] if severity else []
    )


@pytest.mark.parametrize(
    ("thin", "severity"), [(2, None), (3, "low"), (5, "low"), (6, "medium"), (9, "medium"), (10, "high"), (40, "high")]
)
def test_vacuum_thresholds(thin, severity):
    asks = [(99.0, 1.0), *((100.0 + i, 0.9) for i in range(thin)), (200.0, 1.0)]
    found = vacuums([(98.0, 5.0)], asks, 1.0)
    assert [(vacuum.from_, vacuum.to, vacuum.levels, vacuum.severity) for vacuum in found] == (
        [(100.0, 99.0 + thin, thin, severity)] if severity else []
    )


def test_a_vacuum_may_span_the_spread():
    found = vacuums([(99.0, 0.1), (98.0, 0.1), (97.0, 5.0)], [(101.0, 0.1), (102.0, 5.0)], 1.0)
    assert [(vacuum.from_, vacuum.to, vacuum.levels) for vacuum in found] == [(98.0, 101.0, 3)]


@given(LEVELS, LEVELS, PERCENTILE)
def test_walls_equal_the_oracle(bids, asks, p95):
    for side, levels in zip(("bid", "ask"), best_first(bids, asks), strict=True):
        walls(side, levels, p95)


@given(LEVELS, LEVELS, PERCENTILE)
def test_vacuums_equal_the_oracle(bids, asks, p10):
    vacuums(*best_first(bids, asks), p10)


LOT = st.sampled_from(["0.00000001", "0.001", "0.1", "0.3", "1", "100"])


@given(LOT, st.integers(1, 10**6), st.sampled_from([1, 2, 3]))
def test_a_wall_of_exactly_its_limit_is_one_whatever_the_lot(lot, lots, times):
    """P95 is 2 x lots, so 3 x lots are a wall."""
    p95, quantity, less = (
        float(Decimal(lot) * number) for number in (2 * lots, 3 * times * lots, 3 * times * lots - 1)
    )
    severities = [None, "low", "medium", "high"]
    assert [wall.severity for wall in walls("bid", [(1.0, quantity)], p95)] == severities[times : times + 1]
    below = [severities[times - 1]] if times > 1 else []
    assert [wall.severity for wall in walls("bid", [(1.0, less)], p95)] == below


@given(LOT, st.integers(1, 10**6))
def test_a_level_of_exactly_p10_is_not_thin_whatever_the_lot(lot, lots):
    """P10 is a third of the way from one quantity to another, so it has the error of a computed number."""
    low, high = float(Decimal(lot) * lots), float(Decimal(lot) * (lots + 3))
    p10 = low + (high - low) * 100 / 300
    at, less = (float(Decimal(lot) * number) for number in (lots + 1, lots))
    assert not find_vacuums(columns([]), columns([(1.0 + place, at) for place in range(3)]), p10)
    assert find_vacuums(columns([]), columns([(1.0 + place, less) for place in range(3)]), p10)


def test_lists_and_levels_are_bounded():
    levels = [(float(place), 0.5 if place % 5 else 20.0) for place in range(1, 3001)]
    assert len(walls("ask", levels, 10.0)) == 50
    assert not walls("ask", [(float(i), 1.0) for i in range(1000)] + [(1000.0, 99.0)], 10.0)
    levels[900:940] = [(price, 0.5) for price, _ in levels[900:940]]
    found = vacuums([], levels, 1.0)
    assert len(found) == 100
    assert "high" in {vacuum.severity for vacuum in found}
