"""What `--wait` finds missing, in every state that Redis may show."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.cli.test_views import report
from tickfence.cli.waiting import Goal, Market, Seen, Superseded, missing, summary
from tickfence.coordination.assignment_store import StoredAssignment
from tickfence.coordination.desired import Change, Desired, DesiredNode, DesiredSymbol, NodeMode, SymbolState
from tickfence.coordination.leadership import LeaderRecord
from tickfence.coordination.membership import NodeRecord, NodeState
from tickfence.coordination.owner import Owner
from tickfence.coordination.verdicts import Verdicts
from tickfence.instrument import Instrument
from tickfence.readers.cluster import Cluster, ClusterNode
from tickfence.readers.reports import Head, decode_head
from tickfence.readers.symbols import idle_symbols
from tickfence.settings import Settings

NOW, VERSION = 1_700_000_010_000, 1_700_000_009_000
SETTINGS = Settings.from_environment({})
ALONE = Settings.from_environment({"NT_ENABLE_MULTI_INSTANCE": "false"})
BTC = Instrument("BTCUSDT")
ONE, TWO = Owner("node-001", "a"), Owner("node-002", "b")
LEADER = LeaderRecord("beat-1/c", 7, 3, NOW + 500, VERSION)


def head(written_at: int = NOW - 100, **other: Any) -> Head:
    return decode_head(BTC, msgspec.json.encode(report(written_at, **other)))


def seen(
    market: Market | None = None,
    *,
    owners: dict[Instrument, Owner] | None = None,
    live: tuple[Owner, ...] = (ONE, TWO),
    modes: dict[Owner, NodeState] | None = None,
    leader: LeaderRecord = LEADER,
    leads: bool = True,
    stored: Desired | None = None,
) -> Seen:
    idle = idle_symbols(stored, leader.verdicts, NOW)
    states = dict.fromkeys(live, NodeState.ALIVE) | (modes or {})
    nodes = [ClusterNode(NodeRecord(owner, 1), state, 10, (), 1) for owner, state in states.items()]
    assignment = StoredAssignment(3, 1, {BTC: ONE} if owners is None else owners)
    cluster = Cluster(NOW, nodes, leader if leads else None, assignment, stored, idle)
    return Seen(cluster, leader, {BTC: market or Market()})


def goal(state: SymbolState) -> Goal:
    return Goal(VERSION, {BTC: DesiredSymbol(state, VERSION)})


def lacking(to: Goal, now: Seen, settings: Settings = SETTINGS) -> str:
    return summary([text for _, text in missing(to, now, settings)])


ACTIVE, PAUSED, REMOVED = map(goal, SymbolState)
FRESH = Market(head(), "trading", book=True)


@pytest.mark.parametrize(
    ("to", "now", "why"),
    [
        (ACTIVE, seen(FRESH), ""),
        (ACTIVE, seen(FRESH, owners={}), "BTCUSDT has no owner: no node may have it"),
        (ACTIVE, seen(FRESH, live=(TWO,)), "BTCUSDT is assigned to node-001, which is not alive"),
        (ACTIVE, seen(), "BTCUSDT has no report yet: no ingest has written its order book"),
        (ACTIVE, seen(Market(None, "delisted")), "BTCUSDT has no report yet: the exchange does not list it"),
        (ACTIVE, seen(Market(None, "halted", book=True)), "BTCUSDT has no report yet: the exchange has halted it"),
        (ACTIVE, seen(Market(None, "trading", book=True)), "BTCUSDT has no report yet"),
        # Written before it was paused and resumed: it proves nothing.
        (ACTIVE, seen(Market(head(VERSION - 1), "trading", book=True)), "BTCUSDT has no new report yet"),
        (
            ACTIVE,
            seen(
                Market(
                    head(
                        NOW - 100,
                        ingestion={"status": "down", "fresh": False, "exchange_time": NOW, "last_update": NOW - 9000},
                    ),
                    "trading",
                    book=True,
                )
            ),
            "BTCUSDT has no fresh report: no market data has come for 9.0 s",
        ),
        (PAUSED, seen(FRESH), "BTCUSDT is still assigned to node-001"),
        (PAUSED, seen(Market(head(), left=8), owners={}), ""),
        (REMOVED, seen(FRESH), "BTCUSDT is still assigned to node-001"),
        (REMOVED, seen(Market(left=2), owners={}), "BTCUSDT still has 2 keys in Redis"),
        (REMOVED, seen(owners={}), ""),
    ],
)
def test_a_symbol(to: Goal, now: Seen, why: str) -> None:
    assert lacking(to, now) == why


def test_a_symbol_that_took_two_nodes_is_set_aside_until_it_is_resumed() -> None:
    blamed = LEADER._replace(verdicts=Verdicts(blamed={BTC: {ONE: NOW - 100, TWO: NOW - 50}}))
    wanted = Desired(VERSION, {BTC: DesiredSymbol(SymbolState.ACTIVE, VERSION)})
    assert lacking(ACTIVE, seen(owners={}, leader=blamed, stored=wanted)).startswith("BTCUSDT is set aside: ")
    resumed = Desired(VERSION, {BTC: DesiredSymbol(SymbolState.ACTIVE, NOW - 10)})
    none = "BTCUSDT has no owner: no node may have it"
    assert lacking(ACTIVE, seen(owners={}, leader=blamed, stored=resumed)) == none


@pytest.mark.parametrize(
    "to", [ACTIVE, PAUSED, REMOVED, Goal(VERSION, {}, {"node-002": DesiredNode(NodeMode.CORDONED)})]
)
def test_nothing_holds_before_the_leader_follows(to: Goal) -> None:
    behind = LEADER._replace(desired=VERSION - 1)
    assert lacking(to, seen(FRESH, leader=behind)) == "beat-1, which leads, has not followed the change"
    assert lacking(to, seen(FRESH, leader=behind, leads=False)) == "no beat leads"
    assert (
        lacking(to, seen(FRESH, leader=LEADER._replace(name="", desired=0)), ALONE) == "no beat has followed the change"
    )


def test_without_coordination_a_symbol_needs_no_owner() -> None:
    assert lacking(ACTIVE, seen(FRESH, owners={}, leads=False), ALONE) == ""


@pytest.mark.parametrize(
    ("mode", "owners", "live", "why"),
    [
        (NodeMode.DRAINED, {BTC: ONE}, (ONE, TWO), "node-001 still has 1 symbol"),
        (
            NodeMode.DRAINED,
            {BTC: ONE},
            (ONE,),
            "node-001 still has 1 symbol, and no other node may have them",
        ),
        (NodeMode.DRAINED, {BTC: TWO}, (ONE, TWO), ""),
        (NodeMode.CORDONED, {BTC: ONE}, (ONE, TWO), ""),
        (NodeMode.OPEN, {BTC: TWO}, (ONE, TWO), ""),
    ],
)
def test_a_node(mode: NodeMode, owners: dict[Instrument, Owner], live: tuple[Owner, ...], why: str) -> None:
    to = Goal(VERSION, {}, {"node-001": DesiredNode(mode, None, VERSION)})
    assert lacking(to, seen(owners=owners, live=live, modes={ONE: NodeState.DRAINED})) == why


def test_a_cordoned_node_takes_no_symbols_of_a_drained_one() -> None:
    to = Goal(VERSION, {}, {"node-001": DesiredNode(NodeMode.DRAINED, None, VERSION)})
    modes = {ONE: NodeState.DRAINED, TWO: NodeState.CORDONED}
    assert lacking(to, seen(modes=modes)) == "node-001 still has 1 symbol, and no other node may have them"


def changed(symbols: dict[Instrument, DesiredSymbol], nodes: dict[str, DesiredNode]) -> Desired:
    return Desired(VERSION + 5, symbols, nodes, (Change(VERSION + 5, NOW, "ann@host", "symbols remove BTCUSDT"),))


def test_waiting_ends_when_somebody_else_wants_it_otherwise() -> None:
    now = seen(FRESH, stored=changed({BTC: DesiredSymbol(SymbolState.REMOVED, NOW)}, {}))
    with pytest.raises(Superseded, match=r"^BTCUSDT is no longer as asked for: ann@host did `symbols remove BTCUSDT`$"):
        list(missing(ACTIVE, now, SETTINGS))
    now = seen(
        FRESH, stored=changed({BTC: DesiredSymbol(SymbolState.ACTIVE, NOW)}, {"node-001": DesiredNode(NodeMode.OPEN)})
    )
    assert lacking(ACTIVE, now) == ""
    with pytest.raises(Superseded, match="node-001"):
        list(missing(Goal(VERSION, {}, {"node-001": DesiredNode(NodeMode.DRAINED, None, VERSION)}), now, SETTINGS))


def test_many_things_are_shown_in_one_line() -> None:
    assert summary(["a", "b"]) == "a; b"
    assert summary(list("abcde")) == "a; b; c; and 2 more"
