"""The invariants: each way to break one is caught, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.chaos.checker import SEQ_BACK, STALE_WRITE, TOKEN_FELL, TOKEN_REUSED, WRONG_BOOK, check
from tools.chaos.history import Acquisition, Book, Injected, Record, Unobserved, Write

S, T = "BTCUSDT", "ETHUSDT"
A, B = "node-001/a", "node-002/b"


def kinds(history: list[Record]) -> list[str]:
    return [violation.kind for violation in check(history).violations]


def changed(record: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(record, **fields)


CLEAN: list[Record] = [
    Acquisition(1.0, S, A, 10),
    Write(1.1, S, A, 10, seq=10, update_id=100, depth="x"),
    Book(1.1, S, 100, "x"),
    Write(1.2, S, A, 10, seq=11, update_id=101, depth="y"),
    Unobserved(1.4, 1.3),
    Acquisition(2.0, S, B, 20),
    Write(2.1, S, B, 20, seq=20, update_id=102, depth="z"),
    Write(2.2, S, B, 20, seq=21, update_id=103, report=False),
    Injected(2.2, "node-kill", (S,), 2.2, 3.0),
    Book(2.3, S, 101, "y"),
    Book(2.3, S, 103, "w"),
]


def test_a_clean_history_has_no_violation() -> None:
    verdict = check(CLEAN)
    assert verdict.violations == []
    assert (verdict.writes, verdict.acquisitions, verdict.books_compared) == (4, 2, 2)


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (Write(3.0, S, A, 10, seq=30), TOKEN_FELL),
        (Write(3.0, S, A, 20, seq=30), TOKEN_REUSED),
        (Write(3.0, S, B, 20, seq=21), SEQ_BACK),
        (Write(3.0, S, B, 20, seq=5), SEQ_BACK),
        (Write(3.0, S, B, 20, seq=30, update_id=103, depth="v"), WRONG_BOOK),
        (Acquisition(3.0, S, A, 20), TOKEN_REUSED),
        (Acquisition(3.0, S, B, 20), TOKEN_FELL),
        (Acquisition(3.0, S, A, 15), TOKEN_FELL),
    ],
)
def test_each_violation_is_caught(last: Record, kind: str) -> None:
    assert kinds([*CLEAN, last]) == [kind]


def test_a_write_after_another_owner_got_a_newer_token_is_stale_before_that_one_has_written() -> None:
    assert kinds([*CLEAN[:6], Write(2.05, S, A, 10, seq=12)]) == [STALE_WRITE]


def test_a_true_book_that_is_seen_later_counts() -> None:
    late = Write(3.0, S, B, 20, seq=30, update_id=104, depth="wrong")
    assert kinds([*CLEAN, late]) == []
    assert kinds([*CLEAN, late, Book(3.5, S, 104, "right")]) == [WRONG_BOOK]


def test_without_update_ids_a_book_must_be_one_that_the_exchange_had() -> None:
    seen: list[Record] = [Book(1.0, S, 0, "x"), Book(10.0, S, 0, "y")]
    report = Write(20.0, S, A, 10, seq=10, update_id=7 << 20, depth="y")
    wrong = changed(report, depth="z")
    assert kinds([*seen, report]) == []
    assert kinds([*seen, wrong]) == [WRONG_BOOK]
    assert kinds([*seen, changed(wrong, time=3.0)]) == []  # the first books passed unseen
    assert kinds([*seen, Book(19.0, S, 0, ""), wrong]) == []
    assert kinds([*seen, Book(12.0, S, 0, ""), Book(13.0, S, 0, "x"), wrong]) == [WRONG_BOOK]
    assert check([*seen, report, changed(report, symbol=T)]).books_compared == 1


def test_an_exchange_may_number_its_updates_from_the_start_again() -> None:
    assert kinds([*CLEAN, Book(3.0, S, 103, "other"), Write(3.0, S, B, 20, seq=30, update_id=103, depth="other")]) == []
    again: list[Record] = [*CLEAN, Book(3.0, S, 7, "first")]
    unseen = Write(20.0, S, B, 20, seq=30, update_id=103, depth="of the new count")
    assert kinds([*again, unseen]) == []
    assert kinds([*again, Book(19.0, S, 103, "right"), unseen]) == [WRONG_BOOK]
    assert kinds([*again, changed(unseen, time=4.0)]) == []  # nobody knows of which count it is


def test_symbols_do_not_mix() -> None:
    assert kinds([*CLEAN, Acquisition(3.0, T, A, 5), Write(3.1, T, A, 5, seq=5, update_id=100, depth="other")]) == []


@st.composite
def clean_histories(draw: st.DrawFn) -> list[Record]:
    """Two symbols whose owners follow each other, every write from the true book."""
    history: list[Record] = []
    time = 1.0
    for symbol in (S, T):
        token, seq, update_id = 100, 100, 1000
        for turn in range(draw(st.integers(2, 4))):
            token += draw(st.integers(1, 50))
            history.append(Acquisition(time, symbol, f"node-{turn}/x{turn}", token))
            for _ in range(draw(st.integers(1, 4))):
                seq += draw(st.integers(1, 3))
                update_id += draw(st.integers(1, 9))
                time += 0.25
                history.append(Write(time, symbol, f"node-{turn}/x{turn}", token, seq, update_id, f"at {update_id}"))
                history.append(Book(time, symbol, update_id, f"at {update_id}"))
    return history


def _repeated(write: Write, history: list[Record]) -> list[Record]:
    return [*history, write]


def _another_owner(write: Write, history: list[Record]) -> list[Record]:
    return [changed(r, owner="node-9/z") if r is write else r for r in history]


def _another_book(write: Write, history: list[Record]) -> list[Record]:
    return [changed(r, depth="with a gap") if r is write else r for r in history]


def _older_token(write: Write, history: list[Record]) -> list[Record]:
    first = next(r for r in history if isinstance(r, Acquisition) and r.symbol == write.symbol)
    return [*history, changed(write, token=first.token, owner=first.owner, seq=10**6)]


def _later_take_before(write: Write, history: list[Record]) -> list[Record]:
    """The same write, but another owner already has a newer token."""
    at = history.index(write)
    return [*history[:at], Acquisition(write.time, write.symbol, "node-9/z", 10**6), *history[at:]]


@given(clean_histories(), st.data())
def test_clean_histories_pass_and_every_mutation_is_caught(history: list[Record], data: st.DataObject) -> None:
    assert check(history).violations == []
    write = data.draw(st.sampled_from([record for record in history if isinstance(record, Write)]))
    mutations: list[tuple[Callable[[Write, list[Record]], list[Record]], set[str]]] = [
        (_repeated, {SEQ_BACK}),
        (_another_owner, {TOKEN_REUSED}),
        (_another_book, {WRONG_BOOK}),
        (_older_token, {TOKEN_FELL}),
        (_later_take_before, {STALE_WRITE}),
    ]
    for mutate, expected in mutations:
        assert expected <= set(kinds(mutate(write, history))), mutate.__name__
