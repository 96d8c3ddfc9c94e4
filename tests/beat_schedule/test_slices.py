"""How a cycle is spread over its period."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import Celery
from celery.beat import ScheduleEntry
from hypothesis import given
from hypothesis import strategies as st

from beat_schedule.schedule import fixed_rate
from beat_schedule.slices import AT_ONCE, AT_ONCE_SPREAD, OF_THEIR_OWN, SYMBOLS_A_MESSAGE, SlicedCycle, phase_of
from tickfence.coordination.owner import Owner
from tickfence.coordination.shards import shard_of

A = Owner("node-001", "a")
APP = Celery()


def names(count: int) -> tuple[str, ...]:
    return tuple(f"S{n}USDT" for n in range(count))


def cycle(symbols: int = 0, *, period_ms: int = 250, limit: int = 32, spread: bool = False) -> SlicedCycle:
    entry = ScheduleEntry(name="one", task="one", schedule=fixed_rate(period_ms), app=APP)
    one = SlicedCycle.of(entry, SimpleNamespace(spread=spread), limit)
    one.begin(entry, names(symbols), 100.0)
    return one


def on(nodes: int, symbols: int) -> dict[str, Owner]:
    """Symbols that nodes share evenly."""
    return {name: Owner(f"node-{n % nodes:03}", "a") for n, name in enumerate(names(symbols))}


def sent(one: SlicedCycle, owners: dict[str, Owner]) -> dict[Owner, dict[int, list[tuple[str, ...]]]]:
    """Each node's messages, by phase."""
    found: dict[Owner, dict[int, list[tuple[str, ...]]]] = {}
    for phase in range(one.phases):
        for owner in one.nodes_at(phase, owners):
            found.setdefault(owner, {})[phase] = one.node(owner, owners).at[phase]
    return found


@pytest.mark.parametrize(
    ("options", "phases"),
    [
        ({}, 4),
        ({"limit": 3}, 2),
        ({"limit": 1}, 1),
        ({"period_ms": 100}, 2),
        ({"period_ms": 20}, 1),
        ({"period_ms": 350}, 4),
        ({"period_ms": 400}, 8),
        ({"period_ms": 2000, "spread": True}, 32),
        ({"period_ms": 200, "spread": True}, 4),
    ],
)
def test_phases_of_a_period(options: dict, phases: int) -> None:
    assert cycle(**options).phases == phases


@given(st.integers(1, 400), st.integers(1, 20), st.integers(1, 40), st.booleans())
def test_every_symbol_goes_once_a_cycle_to_its_owner(symbols: int, nodes: int, limit: int, spread: bool) -> None:
    owners = on(nodes, symbols)
    found = sent(cycle(symbols, limit=limit, spread=spread), owners)
    assert sorted((symbol, owner) for owner, at in found.items() for ms in at.values() for m in ms for symbol in m) == (
        sorted(owners.items())
    )
    for at in found.values():
        assert sum(map(len, at.values())) <= limit


@given(st.integers(OF_THEIR_OWN + 1, 2000), st.booleans())
def test_the_messages_of_a_node_follow_from_its_number_of_symbols(symbols: int, spread: bool) -> None:
    one = cycle(symbols, period_ms=2000 if spread else 250, limit=100, spread=spread)
    at = sent(one, dict.fromkeys(names(symbols), A))[A]
    together = AT_ONCE_SPREAD if spread else AT_ONCE
    assert len(at) <= min(-(-symbols // together) * 2, one.phases)
    assert len(at) >= min(-(-symbols // together), one.phases) or symbols < 4 * together  # a phase may be empty
    assert all(len(message) <= SYMBOLS_A_MESSAGE for messages in at.values() for message in messages)


def test_few_symbols_have_a_message_each_in_their_phase_on_however_many_nodes() -> None:
    one = cycle(OF_THEIR_OWN)
    for nodes in (1, 3):
        for at in sent(one, on(nodes, OF_THEIR_OWN)).values():
            for phase, messages in at.items():
                assert all(phase_of(symbol, one.phases) == phase for [symbol] in messages)


def test_a_node_that_has_few_symbols_gets_them_in_one_message() -> None:
    count = {
        nodes: sum(len(m) for at in sent(cycle(160), on(nodes, 160)).values() for m in at.values())
        for nodes in (1, 2, 3, 8)
    }
    assert count == {1: 4, 2: 4, 3: 3, 8: 8}


@given(st.integers(1, 4), st.integers(OF_THEIR_OWN + 1, 1500))
def test_all_shards_of_a_node_have_as_many_slices(shards: int, symbols: int) -> None:
    owners = dict.fromkeys(names(symbols), A)
    widths = set()
    for number in range(shards):
        one = SlicedCycle(cycle().entry, 4, 32, True, number, shards)
        one.begin(one.entry, list(owners), 0.0)
        widths.add(one.node(A, owners).width)
        found = [symbol for messages in sent(one, owners).get(A, {}).values() for m in messages for symbol in m]
        assert sorted(found) == sorted(symbol for symbol in owners if shard_of(symbol, shards) == number)
    assert len(widths) == 1


@given(st.sets(st.integers(0, 10**6), min_size=OF_THEIR_OWN + 1, max_size=300), st.integers(0, 5))
def test_a_symbol_keeps_its_phase_when_others_come_and_go_and_its_moment_with_as_many_others(
    numbers: set[int], power: int
) -> None:
    symbols = [f"S{number}USDT" for number in sorted(numbers)]
    one = SlicedCycle(cycle().entry, 2**power, 100, urgent=True)
    one.begin(one.entry, symbols, 0.0)
    owners = dict.fromkeys(symbols, A)
    at = {symbol: phase for phase, ms in sent(one, owners)[A].items() for m in ms for symbol in m}
    one.begin(one.entry, [*symbols, "NEWUSDT"], 0.0)
    more = dict.fromkeys(symbols, A) | {"NEWUSDT": Owner("node-002", "b")}
    assert {symbol: phase for phase, ms in sent(one, more)[A].items() for m in ms for symbol in m} == at


def test_phases_are_even_over_the_period_and_fall_due_one_by_one() -> None:
    one = cycle(80)
    assert [round(at, 4) for at, _ in one.due] == [round(100 + n * 0.0625, 4) for n in range(4)]
    assert one.pop_due(99.9) == []
    assert one.pop_due(100.0) == [0]
    assert one.pop_due(100.126) == [1, 2]
    one.begin(one.entry, names(80), 100.25)
    assert one.pop_due(100.25) == [3, 0], "what is overdue is not forgotten"
    one.begin(one.entry, names(80), 100.3)
    assert one.pop_due(100.3) == [0], "what a new cycle comes before is not sent twice"


def test_what_is_not_urgent_falls_due_between_what_is() -> None:
    fast, slow = cycle(80), cycle(80, period_ms=2000, spread=True)
    assert not {round(at, 4) for at, _ in fast.due} & {round(at, 4) for at, _ in slow.due}
    assert slow.due[0][0] == pytest.approx(100 + 0.0625 / 2)


def test_beat_wakes_only_when_something_falls_due() -> None:
    one = cycle(20)
    assert one.next_due(on(1, 20)) == 100.0
    one.pop_due(100.0)
    assert one.next_due(on(1, 20)) is None
    few = cycle(1)
    assert few.next_due(on(1, 1)) == pytest.approx(100 + phase_of("S0USDT", 4) * 0.0625)
    assert few.next_due({}) is None
