"""What changed, by rows of a history: against moves that were planted, and by what holds for any rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tickfence.analytics.history_row import HistoryRow
from tickfence.mcp.changes import (
    GAP_INTERVALS,
    LISTED,
    Changes,
    Disturbance,
    Episode,
    Handover,
    Step,
    Stretch,
    changes,
)
from tickfence.mcp.gauge import LIMITS

T0 = 1_700_000_000_000
SECOND = 1000
_STATED = ("mid_price", "spread_bps", "orders_per_sec", "imbalance", "health")


def row(at: int, **fields: Any) -> HistoryRow:
    """A row ``at`` seconds after ``T0``; quiet unless ``fields`` say otherwise."""
    known: dict[str, Any] = {"token": 1, "health": 90.0, "status": "ok", "anomalies": 0, "walls": 2, "vacuums": 0}
    return HistoryRow(time_ms=T0 + at * SECOND, **known | {"mid_price": 100.0} | fields)


def told(rows: Sequence[HistoryRow], until: int | None = None) -> Changes:
    end = rows[-1].time_ms if until is None and rows else T0 + (until or 0) * SECOND
    return changes(rows, rows[0].time_ms if rows else T0, end, SECOND)


def at(seconds: int) -> int:
    return T0 + seconds * SECOND


@pytest.mark.parametrize(
    ("values", "trend"),
    [
        ((100.0, 100.05, 100.1), "steady"),  # 0.1 of 100.1 is a little less than 0.1 %
        ((100.0, 100.2), "rose"),
        ((100.2, 100.0), "fell"),
        ((100.0, 100.2, 100.0), "swung"),
        ((1000.0, 999.0), "fell"),  # exactly 0.1 % of the largest
        ((None, 100.0, None, 100.2, None), "rose"),
    ],
)
def test_a_price_rises_falls_swings_or_is_steady(values: tuple[float | None, ...], trend: str) -> None:
    found = told([row(second, mid_price=value) for second, value in enumerate(values)])
    assert found.numbers["mid_price"].trend == trend


def test_a_number_is_told_with_its_extremes_and_when_they_were() -> None:
    values = (5.0, 3.0, 3.0, 9.0, 9.0, 8.0)
    gauge = told([row(second, mid_price=value) for second, value in enumerate(values)]).numbers["mid_price"]
    assert (gauge.first, gauge.last, gauge.median) == (5.0, 8.0, 5.0)
    assert (gauge.low, gauge.low_at) == (3.0, at(1)) and (gauge.high, gauge.high_at) == (9.0, at(3))


def test_of_a_number_that_jumps_no_single_row_counts() -> None:
    values = [50.0] * 60
    values[0], values[30], values[-1] = 10.0, 90.0, 99.0
    quiet = told([row(second, bid_qty=value) for second, value in enumerate(values)]).numbers["bid_qty"]
    assert (quiet.trend, quiet.first, quiet.last) == ("steady", 50.0, 50.0)
    assert (quiet.low, quiet.low_at, quiet.high, quiet.high_at) == (10.0, at(0), 99.0, at(59))
    values[20:30] = [90.0] * 10
    swung = told([row(second, bid_qty=value) for second, value in enumerate(values)]).numbers["bid_qty"]
    assert swung.trend == "swung"
    values[-12:] = [20.0] * 12
    assert told([row(second, bid_qty=value) for second, value in enumerate(values)]).numbers["bid_qty"].trend == "fell"


def test_a_number_that_no_row_has_is_left_out_and_zero_is_a_number() -> None:
    found = told([row(second, mid_price=None, net_flow=0.0) for second in range(3)])
    assert "mid_price" not in found.numbers
    assert found.numbers["net_flow"].trend == "steady"


def test_walls_that_came_and_went_are_counted() -> None:
    counts = (2, 2, 5, 5, 1, None, 1, 2)
    walls = told([row(second, walls=count) for second, count in enumerate(counts)]).walls
    assert walls
    assert (walls.first, walls.last, walls.low, walls.high) == (2, 2, 1, 5)
    assert (walls.came, walls.went) == (4, 4)
    assert walls.steps == [Step(at(2), 2, 5), Step(at(4), 5, 1), Step(at(7), 1, 2)]


def test_of_many_steps_the_newest_are_listed_and_the_others_counted() -> None:
    walls = told([row(second, walls=second % 2) for second in range(30)]).walls
    assert walls
    assert len(walls.steps) == LISTED and walls.left_out == 29 - LISTED
    assert walls.steps[-1] == Step(at(29), 0, 1)


def test_anomalies_that_came_and_went_have_their_times_and_worst_severity() -> None:
    severities = [None, "low", "high", "low", None, None, "medium"]
    rows = [
        row(second, anomalies=0 if severity is None else second, severity=severity)
        for second, severity in enumerate(severities)
    ]
    found = told(rows).anomalies
    assert found.listed == [Episode(at(1), at(3), 3, "high", True), Episode(at(6), None, 6, "medium", True)]
    assert (found.worst, found.worst_at) == ("high", at(2))


def test_what_was_not_seen_is_not_told_as_seen() -> None:
    loud = {"anomalies": 1, "severity": "low"}
    began_before = told([row(0, **loud), row(1)]).anomalies.listed
    assert began_before == [Episode(at(0), at(0), 1, "low", False)]
    unknown_between = told([row(0), row(1, **loud), row(2, anomalies=None), row(3, **loud), row(4)]).anomalies.listed
    assert [(one.since, one.until, one.begun) for one in unknown_between] == [
        (at(1), at(1), True),
        (at(3), at(3), False),
    ]
    gap_between = told([row(0), row(1, **loud), row(60, **loud), row(61)])
    assert [(one.since, one.until, one.begun) for one in gap_between.anomalies.listed] == [
        (at(1), at(1), True),
        (at(60), at(60), False),
    ]
    assert gap_between.gaps.listed == [Stretch(at(1), at(60))]
    silent_since = told([row(0), row(1, **loud)], until=60)
    assert silent_since.anomalies.listed == [Episode(at(1), at(1), 1, "low", True)]
    assert silent_since.gaps.listed == [Stretch(at(1), None)]


def test_a_gap_is_more_than_so_many_intervals() -> None:
    assert told([row(0), row(GAP_INTERVALS)]).gaps.listed == []
    assert told([row(0), row(GAP_INTERVALS + 1)]).gaps.listed == [Stretch(at(0), at(GAP_INTERVALS + 1))]


def test_before_the_first_row_there_is_a_gap() -> None:
    rows = [row(60), row(61)]
    assert changes(rows, at(0), at(61), SECOND).gaps.listed == [Stretch(at(0), at(60))]
    assert changes(rows, at(57), at(61), SECOND).gaps.listed == []


def test_late_data_and_other_writers_are_told() -> None:
    rows = [row(0), row(1, status="degraded"), row(2, status="down"), row(3, token=7), row(4, status="down", token=7)]
    found = told(rows)
    assert found.disturbances.listed == [
        Disturbance(at(1), at(1), "degraded"),
        Disturbance(at(2), at(2), "down"),
        Disturbance(at(4), None, "down"),
    ]
    assert found.handovers.listed == [Handover(at(3), 1, 7)]


def test_without_rows_nothing_is_known() -> None:
    found = told([], until=600)
    assert found.gaps.listed == [Stretch(at(0), None)]
    assert (found.rows, found.covered_since, found.covered_until) == (0, None, None)
    assert found.numbers == {} and found.walls is None and found.anomalies.listed == []


_rows = st.lists(
    st.builds(
        row,
        st.integers(0, 100),
        mid_price=st.none() | st.floats(1, 1e6),
        net_flow=st.none() | st.floats(-1e6, 1e6),
        walls=st.none() | st.integers(0, 9),
        anomalies=st.none() | st.integers(0, 3),
        status=st.sampled_from(["ok", "degraded", "down"]),
        token=st.integers(1, 3),
    ),
    unique_by=lambda one: one.time_ms,
).map(lambda rows: sorted(rows, key=lambda one: one.time_ms))


@given(_rows)
def test_what_holds_for_any_rows(rows: list[HistoryRow]) -> None:
    found = told(rows)
    by_time = {one.time_ms: one for one in rows}
    for name, gauge in found.numbers.items():
        for value in (gauge.first, gauge.last, gauge.median):
            assert gauge.low <= value <= gauge.high
        assert getattr(by_time[gauge.low_at], name) == gauge.low
        assert getattr(by_time[gauge.high_at], name) == gauge.high
    if found.walls:
        assert found.walls.first + found.walls.came - found.walls.went == found.walls.last
        assert found.walls.came >= found.walls.high - found.walls.first
    # Of every row with anomalies the list tells, unless it is left out; of no row without.
    listed = found.anomalies.listed
    shown = {
        one.time_ms for one in rows for time in listed if time.since <= one.time_ms <= (time.until or rows[-1].time_ms)
    }
    loud = {one.time_ms for one in rows if one.anomalies}
    assert shown <= loud
    assert found.anomalies.left_out or shown == loud
    assert all(one.since < (one.until or one.since + 1) for one in found.gaps.listed)


@example(
    [
        row(at, mid_price=None, net_flow=flow)  # the eights are in one window of ten seconds only forwards
        for at, flow in ((0, 3.0), (1, 3.0), (2, 3.0), (10, 8.0), (11, 8.0), (12, 8.0), (28, 1.5), (29, 1.5), (30, 1.5))
    ]
)
@given(_rows)
def test_backwards_in_time_what_rose_fell(rows: list[HistoryRow]) -> None:
    reverse = [msgspec.structs.replace(one, time_ms=2 * T0 - one.time_ms) for one in reversed(rows)]
    opposite = {"rose": "fell", "fell": "rose", "swung": "neither", "steady": "neither"}
    same = {"rose": "rose", "fell": "fell", "swung": "neither", "steady": "neither"}
    forwards, backwards = told(rows), told(reverse)
    assert {name: opposite[gauge.trend] for name, gauge in forwards.numbers.items()} == {
        name: same[gauge.trend] for name, gauge in backwards.numbers.items()
    }


def test_the_page_on_mcp_states_the_limits() -> None:
    page = (Path(__file__).parents[2] / "docs" / "web.md").read_text()
    _, _, table = page.partition("| number | at least |\n| --- | --- |\n")
    stated = dict(row.strip("| ").split(" | ") for row in table.partition("\n\n")[0].splitlines())
    price, spread, rate, imbalance, health = (LIMITS[name] for name in _STATED)
    assert stated == {
        "price (mid)": f"{price.share * 100:g} %",
        "spread, depth of each side": f"{spread.share * 100:g} %",
        "trades a second, net flow of 30 s": f"{rate.share * 100:g} %",
        "imbalance": f"{imbalance.least:g}",
        "health": f"{health.least:g} points",
    }
    assert spread == LIMITS["bid_qty"] == LIMITS["ask_qty"] and rate == LIMITS["net_flow"]
