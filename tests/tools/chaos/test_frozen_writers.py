"""What a history shows of writers that were frozen, and woke."""

from __future__ import annotations

from tools.chaos.frozen_writers import describe_frozen_writers, frozen_writers
from tools.chaos.history import Acquisition, Injected, Record, Refused, Write

S = "BTCUSDT"
A, B = "node-001/a", "node-002/b"
FREEZE = Injected(2.0, "node-freeze", (S,), 2.0, 3.5, victim="node-001", owner_gone=A)
WAKE = Injected(5.0, "node-wake", (S,), 5.0, 6.0, victim="node-001")
# A fault is recorded when it is over.
BASE: list[Record] = [
    Acquisition(1.0, S, A, 1),
    Write(1.5, S, A, 1),
    Acquisition(3.0, S, B, 2),
    FREEZE,
    Write(4.0, S, B, 2),
    WAKE,
]


def test_what_is_tried_after_others_took_over_is_counted() -> None:
    (freeze,) = frozen_writers([*BASE, Refused(5.1, S, A), Write(5.2, S, A, 1)])
    assert (freeze.woke, freeze.overtaken, freeze.refused, freeze.accepted) == (True, True, 1, 1)


def test_what_it_writes_with_a_new_lease_is_its_right() -> None:
    (freeze,) = frozen_writers([*BASE, Acquisition(5.1, S, A, 3), Write(5.2, S, A, 3), Refused(5.3, S, A)])
    assert (freeze.refused, freeze.accepted, freeze.lost) == (0, 0, {})


def test_what_it_writes_under_a_newer_token_is_its_right_though_redis_forgot_that_others_had_it() -> None:
    """After a crash the lease is its own again as Redis sees it: it is extended, not taken, under a new token."""
    (freeze,) = frozen_writers([*BASE, Write(5.2, S, A, 3), Refused(5.3, S, A)])
    assert (freeze.refused, freeze.accepted, freeze.lost) == (0, 0, {})


def test_what_it_wrote_before_others_took_over_is_its_right() -> None:
    (freeze,) = frozen_writers([*BASE, Write(2.001, S, A, 1)])
    assert freeze.accepted == 0


def test_others_writes_do_not_count() -> None:
    (freeze,) = frozen_writers([*BASE, Refused(5.1, S, B), Write(5.2, S, B, 2)])
    assert (freeze.refused, freeze.accepted) == (0, 0)


def test_the_proof_in_a_line() -> None:
    assert describe_frozen_writers([*BASE, Refused(5.1, S, A)]) == (
        "1 frozen writers resumed after others had taken their symbols: 1 of their writes were refused, 0 accepted."
    )
    assert describe_frozen_writers(BASE[:2]) == ""
    assert (
        describe_frozen_writers([record for record in BASE if not isinstance(record, Acquisition) or record.owner == A])
        == ""
    )
    assert describe_frozen_writers(BASE[:-1]) == ""
