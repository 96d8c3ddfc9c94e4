"""Whose turn it is: nothing twice, nothing forgotten, and the same rate for all where not all can be served."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from beat_schedule.fan_out import slices
from beat_schedule.turns import Turns
from coordination.owner import Owner

A, B = Owner("node-001", "a"), Owner("node-002", "b")
SYMBOLS = [f"S{number}USDT" for number in range(40)]
ENDLESS = {A: 1_000, B: 1_000}


def test_with_room_each_slice_goes_whole_as_it_falls_due() -> None:
    owners = {symbol: (A, B)[number % 3 == 0] for number, symbol in enumerate(SYMBOLS)}
    turns = Turns(slices(SYMBOLS, 5), most=8)
    for _ in range(2):
        for number in range(5):
            assert turns.fall_due(number, owners) == 0
            messages = turns.take(owners, ENDLESS)
            assert {s: m.owner for m in messages for s in m.symbols} == {s: owners[s] for s in turns.slices[number]}
            assert turns.nodes() == []


@given(st.floats(0.1, 8), st.integers(1, 10))
def test_a_node_that_cannot_keep_up_serves_all_its_symbols_evenly(service: float, parts: int) -> None:
    """A node that takes ``service`` steps for a message, and in whose queue two may wait."""
    owners = dict.fromkeys(SYMBOLS, A)
    turns = Turns(slices(SYMBOLS, parts), most=1)
    sent: Counter[tuple[str, ...]] = Counter()
    done_at: list[float] = []
    lost = 0
    for step in range(400):
        lost += turns.fall_due(step % parts, owners)
        waiting = [moment for moment in done_at if moment > step + service]
        for message in turns.take(owners, {A: 2 - len(waiting)}):
            sent[message.symbols] += 1
            done_at.append(max([step, *done_at[-1:]]) + service)
    counts = sorted(sent.values())
    assert len(counts) == parts
    assert counts[-1] - counts[0] <= 2
    if service < 1:
        assert lost == 0
    still = sum(turns.fall_due(number, owners) for number in range(parts))
    assert sum(counts) + lost + still == 400


def test_a_slice_that_does_not_fit_waits_and_goes_first_later() -> None:
    owners = dict.fromkeys(SYMBOLS[:6], A)
    turns = Turns(slices(SYMBOLS[:6], 2), most=3)
    turns.fall_due(0, owners)
    assert turns.take(owners, {A: 2}) == []
    turns.fall_due(1, owners)
    assert [s for m in turns.take(owners, {A: 5}) for s in m.symbols] == sorted(turns.slices[0])
    assert [s for m in turns.take(owners, {A: 3}) for s in m.symbols] == sorted(turns.slices[1])


def test_what_waits_goes_to_whoever_owns_it_by_then() -> None:
    turns = Turns([("S1USDT", "S2USDT")], most=2)
    turns.fall_due(0, {"S1USDT": A, "S2USDT": A})
    assert turns.take({"S1USDT": B, "S2USDT": B}, ENDLESS) == []  # a move is dispatched by itself
    assert turns.nodes() == []
    turns.fall_due(0, {"S1USDT": B, "S2USDT": B})
    assert [m.owner for m in turns.take({"S1USDT": B, "S2USDT": B}, ENDLESS)] == [B, B]


def test_symbols_without_an_owner_are_nobodys_turn() -> None:
    turns = Turns([("S1USDT", "S2USDT")], most=2)
    assert turns.fall_due(0, {}) == 0
    assert turns.take({}, {}) == []
    turns.fall_due(0, {"S1USDT": A})
    assert [m.symbols for m in turns.take({"S1USDT": A}, ENDLESS)] == [("S1USDT",)]
