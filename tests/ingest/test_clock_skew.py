"""The difference of two clocks, from events that are late by chance."""

from __future__ import annotations

import logging

import pytest

from ingest.clock_skew import ClockSkew
from tests.ingest.writing import counted

GAUGE = "nt_exchange_clock_skew_ms"


class Measured:
    def __init__(self) -> None:
        self.now = 0.0
        self.skew = ClockSkew("binance", lambda: self.now)

    def events(self, *lags_ms: float, seconds: float) -> float:
        """Events with these lags come for a while; the metric then."""
        for _ in range(int(seconds)):
            for lag_ms in lags_ms:
                self.skew.observe(lag_ms)
            self.skew.tell()
            self.now += 1
        self.skew.tell()
        return counted(GAUGE)


def test_the_event_that_waited_least_counts() -> None:
    one = Measured()
    assert one.events(-300, -480, 2_000, seconds=5) == -480
    assert one.events(-300, seconds=40) == -480, "within the last minute"
    assert one.events(-300, seconds=30) == -300


def test_without_events_the_last_value_stays() -> None:
    one = Measured()
    assert one.events(70, seconds=5) == 70
    assert one.events(seconds=300) == 70


@pytest.mark.parametrize(("lag_ms", "warnings"), [(15_000, 3), (-15_000, 3), (1_000, 0), (-1_000, 0), (40, 0)])
def test_it_warns_once_a_minute(lag_ms: float, warnings: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Measured().events(lag_ms, lag_ms + 500, seconds=150)
    assert [record.redis_ahead_ms for record in caplog.records] == [lag_ms] * warnings  # type: ignore[attr-defined]


def test_a_stall_at_the_start_is_no_skew(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        one = Measured()
        one.events(5_000, seconds=3)
        one.events(40, seconds=60)
    assert not caplog.records
