"""How long an answer silences this address."""

from __future__ import annotations

import logging
from email.utils import formatdate

import pytest

from ingest.silence import Silence


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def silence(clock: Clock) -> Silence:
    return Silence(clock)


@pytest.mark.parametrize("status", [403, 418, 429, 500, 502, 503])
def test_as_long_as_the_exchange_says(silence: Silence, clock: Clock, status: int) -> None:
    silence.refused(status, {"Retry-After": "60"})
    assert silence.left_s() == 60
    clock.now += 60
    assert silence.left_s() == 0


def test_a_date_counts_by_the_clock_of_who_tells_it(silence: Silence) -> None:
    wrong = 1_000_000_000.0  # the machine's clock need not be right
    silence.refused(429, {"Retry-After": formatdate(wrong + 90, usegmt=True), "Date": formatdate(wrong, usegmt=True)})
    assert silence.left_s() == 90


def test_three_days_at_most(silence: Silence) -> None:
    silence.refused(418, {"Retry-After": "9" * 30})
    assert silence.left_s() == 3 * 24 * 3600


@pytest.mark.parametrize("told", ["", "soon", "-5", "0", "²", "Fri, 31 Feb 2026 00:00:00 GMT", formatdate(0)])
@pytest.mark.parametrize(("status", "first_s"), [(429, 30), (418, 30), (403, 5), (503, 0), (500, 0)])
def test_what_is_not_told_has_a_default(silence: Silence, status: int, first_s: float, told: str) -> None:
    silence.refused(status, {"Retry-After": told})
    assert silence.left_s() == first_s


def test_it_doubles_until_a_success(silence: Silence, clock: Clock) -> None:
    waits = []
    for _ in range(8):
        silence.refused(403, {})
        waits.append(silence.left_s())
        clock.now += waits[-1]
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]
    silence.accepted()
    silence.refused(403, {})
    assert silence.left_s() == 5


def test_answers_to_what_was_on_its_way_repeat_nothing(silence: Silence, clock: Clock) -> None:
    for _ in range(4):
        silence.refused(403, {})
    assert silence.left_s() == 5
    silence.accepted()
    clock.now += 5
    silence.refused(403, {})
    assert silence.left_s() == 10, "the success was asked for before the silence began"


def test_a_longer_demand_prolongs_it_and_a_shorter_one_does_not(silence: Silence) -> None:
    silence.refused(403, {})
    silence.refused(429, {"Retry-After": "60"})
    silence.refused(429, {"Retry-After": "20"})
    assert silence.left_s() == 60


@pytest.mark.parametrize("status", [400, 401, 404, 451])
def test_other_answers_are_not_about_the_address(silence: Silence, status: int) -> None:
    silence.refused(status, {"Retry-After": "60"})
    assert silence.left_s() == 0


def test_it_is_logged_once(silence: Silence, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            silence.refused(429, {"Retry-After": "60"})
            clock.now += 0.01
    [record] = caplog.records
    assert (record.status, record.pause_s) == (429, 60)  # type: ignore[attr-defined]
