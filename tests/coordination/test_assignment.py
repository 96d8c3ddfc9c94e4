"""Every symbol has a place, no node is above its bound, and no symbol moves without need."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.coordination.assignment import assign, capacities
from tickfence.coordination.hrw import scores

SIX = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "ADAUSDT", "DOTUSDT"]
UNBOUNDED = 1000.0

symbol_sets = st.integers(0, 40).map(lambda n: [f"S{i}USDT" for i in range(n)])
node_names = st.integers(0, 60).map(lambda i: f"node-{i:03d}")
node_weights = st.floats(0.1, 10)
weighted = st.dictionaries(node_names, node_weights, min_size=1, max_size=8)
equal = st.sets(node_names, min_size=1, max_size=8).map(lambda names: dict.fromkeys(names, 1.0))
nodes_strategy = st.one_of(equal, weighted)
load_factors = st.floats(1.0, 3.0)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[str], dict[str, float], dict[str, str], set[str]]:
    """Symbols, live nodes, present owners (some of them gone), and which symbols are pinned."""
    symbols, nodes = draw(symbol_sets), draw(nodes_strategy)
    places = st.sampled_from([*nodes, "gone", ""])
    current = {s: n for s in symbols if (n := draw(places))}
    pinned = draw(st.sets(st.sampled_from(symbols))) if symbols else set()
    return symbols, nodes, current, pinned


def greedy(
    symbols: Collection[str],
    nodes: Mapping[str, float],
    current: Mapping[str, str],
    pinned: Collection[str],
    sticky: float,
    load_factor: float,
) -> dict[str, str]:
    """The same answer found another way: take the pairs from the highest bid down while there is room."""
    rows, columns = list(symbols), list(nodes)
    room = capacities(len(rows), nodes, load_factor)
    placed = {s: current[s] for s in rows if s in pinned and current.get(s) in nodes}
    for node in placed.values():
        room[node] -= 1
    table = scores(rows, columns, list(nodes.values()))
    bids = [
        (float(table[r, c]) * (1 + sticky if current.get(s) == n else 1), s, n)
        for r, s in enumerate(rows)
        for c, n in enumerate(columns)
    ]
    for _, symbol, node in sorted(bids, reverse=True):
        if symbol not in placed and room[node] > 0:
            placed[symbol] = node
            room[node] -= 1
    return placed


@given(situations(), st.sampled_from([0.0, 0.02, 0.5]), load_factors)
def test_the_highest_bids_win_as_long_as_there_is_room(situation, sticky: float, load_factor: float) -> None:
    symbols, nodes, current, pinned = situation
    chosen = assign(symbols, nodes, current, pinned=pinned, sticky=sticky, load_factor=load_factor)
    assert chosen == greedy(symbols, nodes, current, pinned, sticky, load_factor)
    assert chosen.keys() == set(symbols)
    assert set(chosen.values()) <= nodes.keys()


@given(situations(), load_factors)
def test_no_node_is_above_its_bound_but_for_pinned_symbols(situation, load_factor: float) -> None:
    symbols, nodes, current, pinned = situation
    room = capacities(len(symbols), nodes, load_factor)
    free = assign(symbols, nodes, current, load_factor=load_factor)
    assert all(held <= room[node] for node, held in Counter(free.values()).items())

    bound = assign(symbols, nodes, current, pinned=pinned, load_factor=load_factor)
    staying = {s for s in pinned if current.get(s) in nodes}
    assert all(bound[s] == current[s] for s in staying)
    kept, moved = Counter(bound[s] for s in staying), Counter(n for s, n in bound.items() if s not in staying)
    assert all(held <= max(0, room[node] - kept[node]) for node, held in moved.items())


@given(symbol_sets, nodes_strategy, load_factors)
def test_bounds_follow_the_weights_and_hold_everything(symbols, nodes: dict[str, float], load_factor: float) -> None:
    room = capacities(len(symbols), nodes, load_factor)
    assert sum(room.values()) >= len(symbols)
    for node, weight in nodes.items():
        fair = len(symbols) * weight / sum(nodes.values())
        assert fair - 1e-6 <= room[node] <= max(math.ceil(fair), math.floor(load_factor * fair + 1e-6))


def test_bounds_by_hand() -> None:
    assert capacities(6, {"a": 1, "b": 1, "c": 1}, 1.25) == {"a": 2, "b": 2, "c": 2}
    assert capacities(7, {"a": 1, "b": 1, "c": 1}, 1.25) == {"a": 3, "b": 3, "c": 3}
    assert capacities(100, {"a": 1, "b": 3}, 1.25) == {"a": 31, "b": 93}
    assert capacities(30, {"a": 0.1, "b": 0.2}, 1.0) == {"a": 10, "b": 20}  # 0.1 + 0.2 > 0.3 in floats


@given(situations(), st.randoms(), st.sampled_from([0.0, 0.02]))
def test_order_does_not_matter(situation, random, sticky: float) -> None:
    symbols, nodes, current, pinned = situation
    mixed, names = list(symbols), list(nodes)
    random.shuffle(mixed)
    random.shuffle(names)
    again = assign(mixed, {n: nodes[n] for n in names}, current, pinned=sorted(pinned), sticky=sticky)
    assert again == assign(symbols, nodes, current, pinned=pinned, sticky=sticky)


@given(situations())
def test_nobody_live_means_nowhere_to_go(situation) -> None:
    symbols, _, current, pinned = situation
    assert assign(symbols, {}, current, pinned=pinned) == {}


@given(symbol_sets, nodes_strategy, load_factors, st.sampled_from([0.0, 0.02, 0.5]))
def test_what_was_assigned_stays_when_nothing_changes(symbols, nodes, load_factor: float, sticky: float) -> None:
    first = assign(symbols, nodes, {}, load_factor=load_factor, sticky=sticky)
    assert assign(symbols, nodes, first, load_factor=load_factor, sticky=sticky) == first


@given(situations(), load_factors, st.sampled_from([0.0, 0.02, 0.5]))
def test_one_rebalance_is_enough_wherever_it_starts(situation, load_factor: float, sticky: float) -> None:
    symbols, nodes, current, _ = situation
    once = assign(symbols, nodes, current, load_factor=load_factor, sticky=sticky)
    assert assign(symbols, nodes, once, load_factor=load_factor, sticky=sticky) == once


@given(symbol_sets, st.dictionaries(node_names, node_weights, min_size=2, max_size=8), st.data())
def test_when_a_node_leaves_only_its_symbols_move(symbols, nodes, data: st.DataObject) -> None:
    leaver = data.draw(st.sampled_from(sorted(nodes)))
    rest = {n: w for n, w in nodes.items() if n != leaver}
    before = assign(symbols, nodes, {}, load_factor=UNBOUNDED)
    after = assign(symbols, rest, before, load_factor=UNBOUNDED)
    assert {s for s in symbols if before[s] != after[s]} == {s for s in symbols if before[s] == leaver}

    bounded = assign(symbols, nodes, {})
    after = assign(symbols, rest, bounded, pinned=symbols)
    assert {s for s in symbols if bounded[s] != after[s]} == {s for s in symbols if bounded[s] == leaver}


@given(symbol_sets, weighted, node_names, node_weights)
def test_when_a_node_joins_symbols_move_to_it_alone(symbols, nodes, newcomer: str, weight: float) -> None:
    nodes = {n: w for n, w in nodes.items() if n != newcomer} or {"node-999": 1.0}
    before = assign(symbols, nodes, {}, load_factor=UNBOUNDED)
    after = assign(symbols, {**nodes, newcomer: weight}, before, load_factor=UNBOUNDED)
    assert {after[s] for s in symbols if before[s] != after[s]} <= {newcomer}


@pytest.mark.parametrize("count", [1, 4, 9])
def test_a_newcomer_takes_its_share_and_no_more(count: int) -> None:
    symbols = [f"S{i}USDT" for i in range(2000)]
    nodes = {f"node-{i:03d}": 1.0 for i in range(count)}
    before = assign(symbols, nodes, {}, load_factor=UNBOUNDED, sticky=0)
    after = assign(symbols, {**nodes, "node-new": 1.0}, before, load_factor=UNBOUNDED, sticky=0)
    moved, p = sum(before[s] != after[s] for s in symbols), 1 / (count + 1)
    assert abs(moved - len(symbols) * p) < 4 * (len(symbols) * p * (1 - p)) ** 0.5


def test_with_bounded_loads_a_change_still_moves_little() -> None:
    """The bound costs some further moves: not above twice the share of the node that came or went."""
    symbols = [f"S{i}USDT" for i in range(1000)]
    nodes = {f"node-{i:03d}": 1.0 for i in range(10)}
    before = assign(symbols, nodes, {})
    joined = assign(symbols, {**nodes, "node-new": 1.0}, before)
    assert sum(before[s] != joined[s] for s in symbols) <= 2 * 1000 / 11
    left = assign(symbols, {n: 1.0 for n in nodes if n != "node-003"}, before)
    assert sum(before[s] != left[s] for s in symbols) <= 2 * 1000 / 10


@given(st.sets(st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True), min_size=3, max_size=3))
def test_six_symbols_on_three_nodes_are_two_each(names: set[str]) -> None:
    assert sorted(Counter(assign(SIX, dict.fromkeys(names, 1.0), {}).values()).values()) == [2, 2, 2]


def test_shares_follow_the_weights() -> None:
    symbols = [f"S{i}USDT" for i in range(1200)]
    held = Counter(assign(symbols, {"small": 1.0, "middle": 2.0, "large": 3.0}, {}, load_factor=1.0).values())
    assert held == {"small": 200, "middle": 400, "large": 600}


@given(node_names, node_names, st.floats(0, 0.5))
def test_the_present_owner_stays_while_the_other_is_not_better_by_more_than_the_bonus(
    a: str, b: str, sticky: float
) -> None:
    nodes = {a: 1.0, b: 1.0}
    for symbol in SIX:
        table = dict(zip(sorted(nodes), scores([symbol], sorted(nodes))[0], strict=True))
        chosen = assign([symbol], nodes, {symbol: a}, sticky=sticky)
        assert chosen[symbol] == (a if table[a] * (1 + sticky) >= table[b] else b)


def test_stickiness_decides_between_near_equals() -> None:
    """One symbol whose two nodes score within 2 %: it is found, not made, so that real scores are used."""
    nodes = {"node-001": 1.0, "node-002": 1.0}
    names = [f"S{i}USDT" for i in range(2000)]
    table = scores(names, sorted(nodes))
    near = next(n for n, (a, b) in zip(names, table, strict=True) if a < b < a * 1.01)
    assert assign([near], nodes, {near: "node-001"}, sticky=0.02) == {near: "node-001"}
    assert assign([near], nodes, {near: "node-001"}, sticky=0.0) == {near: "node-002"}
    assert assign([near], nodes, {}, sticky=0.02) == {near: "node-002"}
