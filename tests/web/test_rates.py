"""Reports a second of each node."""

from __future__ import annotations

from collections import Counter

from tickfence.web.rates import Rates


def test_the_rate_is_over_the_time_between_the_looks() -> None:
    rates = Rates()
    assert rates.of("a") is None
    for number in range(9):
        rates.add(10 + number / 4, Counter(a=6, b=1))
    assert (rates.of("a"), rates.of("b"), rates.of("c")) == (24.0, 4.0, 0.0)


def test_only_the_last_seconds_count() -> None:
    rates = Rates()
    for number in range(40):
        rates.add(number / 4, Counter(a=100 if number < 10 else 1))
    assert rates.of("a") == 4.0


def test_a_pause_in_looking_is_no_time_without_reports() -> None:
    rates = Rates()
    rates.add(0, Counter(a=1))
    rates.add(60, Counter(a=1))
    assert rates.of("a") is None
