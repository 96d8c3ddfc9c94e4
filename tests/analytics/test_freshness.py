"""How old a report is when it is read."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from msgspec import UNSET, UnsetType

from tickfence.analytics.freshness import Freshness, Idle, freshness
from tickfence.analytics.report import Ingestion, Status

NOW = 1_700_000_000_000


class Dated(NamedTuple):
    updated_at: int
    ingestion: Ingestion


def judged(
    report_age: int, data_age: int | None, status: Status = "ok", period: int = 250, idle: Idle | None = None
) -> Freshness:
    """A report written ``report_age`` ms ago, from data that was ``data_age`` ms old then."""
    written = NOW - report_age
    last: int | UnsetType = UNSET if data_age is None else written - data_age
    return freshness(Dated(written, Ingestion(status, status == "ok", written, last)), NOW, period, idle)


def test_ages_are_as_of_now() -> None:
    assert judged(200, 100) == Freshness(NOW, 200, 300, "ok", False, None)


@pytest.mark.parametrize(
    ("report_age", "data_age", "status"),
    [
        (0, 999, "ok"),
        (250, 999, "ok"),  # its successor is not late yet
        (251, 999, "degraded"),
        (250, 1999, "degraded"),
        (251, 1999, "down"),
        (1249, 0, "ok"),
        (1250, 0, "degraded"),
        (2250, 0, "down"),
    ],
)
def test_a_report_that_is_late_ages_with_the_time_it_is_late(report_age: int, data_age: int, status: Status) -> None:
    found = judged(report_age, data_age)
    assert (found.status, found.stale) == (status, status == "down")


@pytest.mark.parametrize("idle", ["paused", "set aside"])
def test_what_nobody_is_to_rewrite_is_stale_at_once(idle: Idle) -> None:
    found = judged(0, 0, idle=idle)
    assert (found.status, found.stale, found.report_age_ms) == (idle, True, 0)
    assert found.reason and "symbol" in found.reason


def test_a_long_period_alone_makes_no_report_stale() -> None:
    assert judged(9_000, 100, period=10_000).status == "ok"


def test_a_report_is_never_better_than_it_says() -> None:
    assert judged(0, 0, "degraded").status == "degraded"
    assert judged(0, 0, "down").stale


def test_a_clock_that_was_set_back_makes_no_negative_age() -> None:
    found = judged(-100, 0)
    assert (found.report_age_ms, found.data_age_ms) == (0, 0)


@pytest.mark.parametrize(
    ("ahead", "status"), [(250, "ok"), (624, "ok"), (625, "degraded"), (1125, "down"), (60_000, "down")]
)
def test_a_report_dated_ahead_may_be_of_any_age(ahead: int, status: Status) -> None:
    assert judged(-ahead, ahead).status == status


def test_data_dated_ahead_may_be_of_any_age() -> None:
    assert judged(0, -250).status == "ok"
    found = judged(0, -251)
    assert (found.status, found.data_age_ms) == ("down", None)
    assert found.reason == "the market data is dated 0.3 s ahead of Redis' clock, so its age is not known"
    assert judged(0, -3_600_000).stale


def test_data_dated_ahead_of_its_report_is_not_new_when_that_time_comes() -> None:
    hour = 3_600_000
    assert judged(hour, 0, period=2 * hour).status == "ok"
    assert judged(hour, -hour, period=2 * hour).stale


def test_the_reason_says_what_stopped() -> None:
    assert judged(9_250, 0).reason == "the report has not been rewritten for 9.0 s"
    assert judged(-9_250, 0).reason == "the report is dated 9.2 s ahead of Redis' clock, so its age is not known"
    assert judged(100, 7_000, "down").reason == "no market data has come for 7.1 s"
    unknown = "the age of the market data is not known: none has come yet, or Redis' clock was wrong"
    assert judged(100, None, "down").reason == unknown
