"""How soon a lost book is subscribed to again."""

from __future__ import annotations

from ingest.renewals import PATIENCE_S, STABLE_S, Renewals
from ingest.rest import Priority

S = "toy:X"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.renewed: list[float] = []
        self.renewals = Renewals(lambda _: self.renewed.append(self.now), lambda: self.now)

    def until(self, at: float) -> list[float]:
        """When it was subscribed to up to then, with a look every 0.1 s."""
        while self.now < at:
            self.renewals.run_due()
            self.now += 0.1
        self.renewals.run_due()
        return self.renewed


def test_a_lost_book_is_subscribed_to_at_once_and_one_that_starts_has_time() -> None:
    lost, starting = Clock(), Clock()
    lost.renewals.want(S, Priority.GAP)
    starting.renewals.want(S, Priority.START)
    assert lost.until(1.0) == [0.0]
    assert starting.until(PATIENCE_S - 0.2) == []
    assert len(starting.until(PATIENCE_S + 0.2)) == 1


def test_one_that_is_in_sync_is_left_alone() -> None:
    clock = Clock()
    clock.renewals.want(S, Priority.GAP)
    clock.until(0.1)
    clock.renewals.got(S)
    assert clock.until(60.0) == [0.0]


def test_one_that_fails_again_and_again_waits_longer_each_time_and_not_for_ever() -> None:
    clock = Clock()
    while clock.now < 600.0:
        clock.renewals.want(S, Priority.GAP)
        tries = len(clock.renewed)
        while len(clock.until(clock.now + 0.1)) == tries:
            pass
        clock.renewals.got(S)  # and the next diff shows that it is wrong
    pauses = [after - before for before, after in zip(clock.renewed, clock.renewed[1:], strict=False)]
    assert 10 < len(clock.renewed) < 60
    assert pauses[0] < 2.0
    assert max(pauses) < 62.0


def test_after_a_stable_time_it_is_at_once_again() -> None:
    clock = Clock()
    for _ in range(5):
        clock.renewals.want(S, Priority.GAP)
        clock.until(clock.now + 10.0)
        clock.renewals.got(S)
    clock.until(clock.now + STABLE_S)
    tries = len(clock.renewed)
    clock.renewals.want(S, Priority.GAP)
    assert len(clock.until(clock.now + 0.2)) == tries + 1
