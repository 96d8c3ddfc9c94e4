"""Explaining an assignment: it is the leader's own decision, and the sentence says what decided it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from tickfence.cli.explain import explain_all
from tickfence.coordination.controller import AssignmentController, MovePolicy
from tickfence.coordination.hrw import scores
from tickfence.coordination.owner import Owner

POLICY = MovePolicy(sticky=0.02, load_factor=1.25, min_hold_ms=2000, rebalance_interval_ms=2500)
SYMBOLS = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "ADAUSDT", "DOTUSDT"]
NODES = ["node-001", "node-002", "node-003"]


def owned(assigned: Mapping[str, str]) -> dict[str, Owner]:
    return {symbol: Owner(node, "a") for symbol, node in assigned.items()}


def alive(nodes: Mapping[str, float]) -> dict[Owner, float]:
    return {Owner(node, "a"): weight for node, weight in nodes.items()}


THREE = alive(dict.fromkeys(NODES, 1.0))


def best(symbol: str, nodes: list[str] = NODES) -> str:
    return nodes[int(scores([symbol], nodes).argmax())]


weights = st.dictionaries(
    st.integers(1, 20).map(lambda n: f"node-{n:03d}"), st.sampled_from([0.5, 1.0, 1.0, 3.0]), min_size=1, max_size=6
)


@given(
    st.integers(1, 60).map(lambda count: [f"S{n}USDT" for n in range(count)]),
    st.lists(weights, min_size=1, max_size=4),
    st.sampled_from([0.0, 0.02, 0.3]),
    st.sampled_from([1.0, 1.25, 4.0]),
    st.sets(st.integers(1, 20).map(lambda n: Owner(f"node-{n:03d}", "a")), max_size=8),
)
def test_once_a_leader_has_nothing_to_move_it_agrees_on_every_symbol(
    symbols: list[str], history: list[dict[str, float]], sticky: float, load_factor: float, named: set[Owner]
) -> None:
    policy = MovePolicy(sticky, load_factor, 2000, 2500)
    controller, now = AssignmentController(symbols, policy), 0
    for nodes in history:
        live = alive(nodes)
        # Those that are cordoned in the end were open to everybody at first.
        cordoned = named & live.keys() if nodes is history[-1] and len(history) > 1 else set()
        controller.step(now, live, cordoned)
        for _ in range(20):
            now += 5000
            if not controller.step(now, live, cordoned):
                break
    if any(owner not in live for owner in controller.owners.values()):
        return  # every live node is cordoned; see below
    found = explain_all(controller.owners, live, policy, cordoned)
    assert list(found) == sorted(symbols)
    assert {symbol: one.computed for symbol, one in found.items()} == {
        symbol: owner.node for symbol, owner in controller.owners.items()
    }
    for one in found.values():
        assert one.agrees
        closed = {owner.node for owner in cordoned} - {one.owner}
        assert {candidate.node for candidate in one.candidates} == history[-1].keys() - closed
        assert [c.bid for c in one.candidates] == sorted((c.bid for c in one.candidates), reverse=True)
        assert re.match(f"{one.owner} owns it(: |, and is cordoned: it keeps)", one.because)


@given(
    st.integers(1, 60).map(lambda count: [f"S{n}USDT" for n in range(count)]),
    weights,
    st.data(),
    st.sampled_from([1.0, 1.25, 4.0]),
)
def test_an_orphan_goes_where_a_leader_puts_it_at_once(
    symbols: list[str], nodes: dict[str, float], data: st.DataObject, load_factor: float
) -> None:
    policy = MovePolicy(0.02, load_factor, 2000, 2500)
    controller = AssignmentController(symbols, policy)
    for now in (0, 5000, 10_000):
        controller.step(now, alive(nodes))
    before = dict(controller.owners)
    dead = data.draw(st.sampled_from(sorted(nodes)))
    left = alive({node: weight for node, weight in nodes.items() if node != dead})
    controller.step(10_025, left)
    found = explain_all(before, left, policy)
    for symbol in [symbol for symbol, owner in before.items() if owner.node == dead]:
        assert not found[symbol].agrees
        assert found[symbol].computed == (controller.owners[symbol].node if left else None)
        assert found[symbol].because.startswith(f"{dead} is not alive")


def test_a_process_that_is_gone_though_another_has_its_name() -> None:
    found = explain_all({"BTCUSDT": Owner("node-001", "a")}, {Owner("node-001", "b"): 1.0}, POLICY)["BTCUSDT"]
    assert not found.agrees
    assert found.because == (
        "the process of node-001 that owns it is not alive; it goes to node-001 at once: no other node may have it"
    )


def test_the_highest_score_alone() -> None:
    found = explain_all(owned({"BTCUSDT": best("BTCUSDT")}), THREE, POLICY)["BTCUSDT"]
    assert found.because == f"{best('BTCUSDT')} owns it: its score is the highest"


def test_the_bonus_of_the_present_owner() -> None:
    by_score = sorted(NODES, key=lambda node: -scores(["BTCUSDT"], [node])[0, 0])
    generous = MovePolicy(sticky=1000.0, load_factor=100, min_hold_ms=0, rebalance_interval_ms=2500)
    found = explain_all(owned({"BTCUSDT": by_score[1]}), THREE, generous)["BTCUSDT"]
    assert found.computed == by_score[1]
    assert found.because == (
        f"{by_score[1]} owns it: {by_score[0]} would score higher, but by less than the 100000% bonus of the owner"
    )


def test_a_node_that_is_full() -> None:
    controller = AssignmentController(SYMBOLS, POLICY)
    for now in (0, 5000, 10_000):
        controller.step(now, THREE)
    assigned = {symbol: owner.node for symbol, owner in controller.owners.items()}
    elsewhere = [symbol for symbol in SYMBOLS if best(symbol) != assigned[symbol]]
    assert elsewhere
    found = explain_all(controller.owners, THREE, POLICY)
    for symbol in elsewhere:
        one = found[symbol]
        assert f"{best(symbol)} (2 of 2)" in one.because
        assert "full of symbols that score higher there" in one.because
        assert next(c for c in one.candidates if c.node == best(symbol)).full


def test_a_move_that_is_due() -> None:
    away = next(node for node in NODES if node != best("BTCUSDT"))
    found = explain_all(owned({"BTCUSDT": away}), THREE, POLICY)["BTCUSDT"]
    assert not found.agrees
    assert found.because == (
        f"it moves from {away} to {best('BTCUSDT')} at the next rebalance (every 2.5 s), "
        f"once {away} has held it for 2 s: its score is the highest"
    )


def test_an_owner_that_is_gone() -> None:
    found = explain_all(owned({"BTCUSDT": "node-009"}), alive({"node-001": 1.0}), POLICY)["BTCUSDT"]
    assert (found.owner, found.computed) == ("node-009", "node-001")
    assert found.because == "node-009 is not alive; it goes to node-001 at once: no other node may have it"


def test_without_any_live_node() -> None:
    found = explain_all(owned({"BTCUSDT": "node-009"}), {}, POLICY)["BTCUSDT"]
    assert (found.computed, found.agrees) == (None, False)
    assert found.because == "node-009 is not alive and no other node may have it: it cannot move"


def test_a_cordoned_node_keeps_what_it_has_and_gets_no_orphan() -> None:
    owners = owned(
        dict(zip(SYMBOLS, ["node-001", "node-001", "node-002", "node-002", "node-003", "node-003"], strict=True))
    )
    two = alive(dict.fromkeys(NODES[:2], 1.0))
    found = explain_all(owners, two, POLICY, {Owner("node-001", "a")})
    assert found["BTCUSDT"].because == "node-001 owns it, and is cordoned: it keeps its symbols and gets no more"
    assert found["BTCUSDT"].agrees
    assert (found["ADAUSDT"].computed, [one.node for one in found["ADAUSDT"].candidates]) == ("node-002", ["node-002"])
    nowhere = explain_all(owners, two, POLICY, set(two))
    assert nowhere["ADAUSDT"].because == "node-003 is not alive and every live node is cordoned: it cannot move"
    assert (nowhere["ADAUSDT"].computed, nowhere["BTCUSDT"].agrees) == (None, True)
