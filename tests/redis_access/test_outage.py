"""Waits between attempts, and the log of an outage."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest

from tickfence.redis_access.outage import Backoff, Outage


def test_waits_grow_to_their_bound_and_start_again_after_a_success() -> None:
    backoff = Backoff(base=0.25, cap=2.0)
    for _ in range(200):
        backoff.reset()
        waits = [backoff.next_s() for _ in range(8)]
        assert waits[0] == 0.25
        assert all(0.25 <= wait <= min(2.0, 3 * before) for before, wait in pairwise(waits))


def test_an_outage_of_days_does_not_wait_longer_than_the_bound() -> None:
    outage = Outage("the data plane", logging.getLogger("test"))
    waits = [outage.failed(ConnectionError("refused")) for _ in range(5_000)]
    assert max(waits) <= 0.25
    assert max(waits[-100:]) > 0.1


def test_an_outage_is_logged_when_it_begins_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage("the data plane", logging.getLogger("test"))
    outage.over()
    for _ in range(3):
        outage.failed(ConnectionError("refused"))
    outage.over()
    outage.over()
    began, ended = [record.getMessage() for record in caplog.records]
    assert began == "cannot reach the data plane: refused"
    assert ended.startswith("reached the data plane again after ")
