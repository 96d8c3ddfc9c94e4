"""What counts against a symbol, and what a new leader reads of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.coordination.owner import Owner
from tickfence.coordination.verdicts import BLAMED_FOR_MS, Verdicts, parse_verdicts
from tickfence.instrument import Instrument

NOW = 1_700_000_000_000
A, B, A_AGAIN = Owner("node-001", "a"), Owner("node-002", "b"), Owner("node-001", "c")
BTC, ETH = Instrument("BTCUSDT"), Instrument("ETHUSDT")

owners = st.builds(Owner, st.sampled_from(["node-001", "a/b", "ü"]), st.sampled_from(["a", "b"]))
times = st.integers(0, 2**53)
verdicts = st.builds(
    Verdicts,
    st.dictionaries(owners, times),
    st.dictionaries(st.sampled_from([BTC, ETH]), st.dictionaries(owners, times, min_size=1)),
)


@given(verdicts)
def test_the_next_leader_reads_what_was_written(found: Verdicts) -> None:
    assert parse_verdicts(found.to_json()) == found
    assert parse_verdicts(found.to_json().encode()) == found


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'{"stuck": []}',
        b'{"stuck": {"nobody": 1}, "blamed": {}}',
        b'{"stuck": {"a/b": "soon"}, "blamed": {}}',
        b'{"stuck": {"a/b": 1e400}, "blamed": {}}',
        b'{"stuck": {}, "blamed": {"BTCUSDT": ["a/b"]}}',
    ],
)
def test_what_is_not_readable_holds_none(text: bytes) -> None:
    assert parse_verdicts(text) == Verdicts()


def test_a_symbol_is_set_aside_when_it_was_in_work_on_two_owners_that_got_stuck() -> None:
    one = Verdicts().with_stuck(A, BTC, NOW)
    assert one.stuck == {A: NOW}
    assert not one.set_aside(NOW, {})
    assert not one.with_stuck(A, BTC, NOW + 1).set_aside(NOW + 1, {})  # the same one again
    assert not one.with_stuck(B, ETH, NOW + 1).set_aside(NOW + 1, {})
    assert not one.with_stuck(B, "", NOW + 1).set_aside(NOW + 1, {})
    assert one.with_stuck(B, BTC, NOW + 1).set_aside(NOW + 1, {}) == {BTC: ("node-001", "node-002")}
    # A node that was restarted by its supervisor, and got stuck with the symbol again, is a second owner.
    assert one.with_stuck(A_AGAIN, BTC, NOW + 1).set_aside(NOW + 1, {}) == {BTC: ("node-001",)}


def test_a_node_that_finished_the_symbol_after_all_takes_its_blame_back_unless_the_symbol_is_set_aside() -> None:
    one = Verdicts().with_stuck(A, BTC, NOW).with_stuck(A, ETH, NOW)
    assert one.without_blame_by(B, ()) == one
    assert not one.without_blame_by(A, ()).blamed
    both = one.with_stuck(B, BTC, NOW).without_stuck(A, B)
    assert not both.stuck
    aside = both.set_aside(NOW, {})
    assert both.without_blame_by(A, aside).blamed == {BTC: {A: NOW, B: NOW}}


def test_a_symbol_comes_back_when_an_operator_resumes_it_or_after_half_an_hour() -> None:
    both = Verdicts().with_stuck(A, BTC, NOW).with_stuck(B, BTC, NOW + 1000)
    assert both.set_aside(NOW + 1000, {BTC: NOW - 1})
    assert not both.set_aside(NOW + 1000, {BTC: NOW})
    assert both.set_aside(NOW + BLAMED_FOR_MS - 1, {})
    assert not both.set_aside(NOW + BLAMED_FOR_MS, {})
    assert both.without_old_blame(NOW + BLAMED_FOR_MS).blamed == {BTC: {B: NOW + 1000}}
    assert not both.without_old_blame(NOW + 1000 + BLAMED_FOR_MS).blamed


def test_blame_from_before_the_servers_clock_was_set_back_does_not_count() -> None:
    both = Verdicts().with_stuck(A, BTC, NOW).with_stuck(B, BTC, NOW)
    assert not both.set_aside(NOW - 3_600_000, {})
    assert not both.without_old_blame(NOW - 3_600_000).blamed
