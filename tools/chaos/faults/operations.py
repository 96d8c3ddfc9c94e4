"""What operators do while everything runs: change symbols and nodes, and change them back.

A change must hold within two seconds, and no other symbol may wait for it. ``--wait`` is asked whether it holds; what
nodes write from then on must agree with its answer.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

import click

from tickfence.cli import operate, waiting
from tickfence.cli.request import Request, mode_request, symbols_request, weight_request
from tickfence.coordination.assignment import capacities
from tickfence.coordination.assignment_store import StoredAssignment, read_assignment
from tickfence.instrument import Instrument
from tools.chaos.checker import Violation
from tools.chaos.gaps import TWO_PERIODS_MS
from tools.chaos.history import Acquisition, Injected, Record, Write
from tools.chaos.injector import FaultKind, Injector
from tools.local.roles import NODES

HOLDS_WITHIN_S = 2.0
LIGHT, HEAVY = 0.25, 4.0

_UNDER_WAY_S = 0.25  # a node still finishes what it was sent in the cycle before
_DELETED_AGAIN_S = 2.5  # ingests delete the keys of a removed symbol a second time after 2 s
_POLL_S = 0.02


def reports_of(records: Iterable[Record], symbols: Collection[str], since: float) -> list[Violation]:
    """Violations: every accepted report of symbols that are removed or paused.

    Args:
        records: the history.
        symbols: the symbols.
        since: Unix time, s.
    """
    return [
        Violation(record.time, record.symbol, "report of a removed or paused symbol", f"by {record.owner}")
        for record in records
        if isinstance(record, Write) and record.time >= since and record.symbol in symbols
    ]


def writes_of_drained(records: Iterable[Record], node: str, since: float) -> list[Violation]:
    """Violations: every accepted write of a drained node. Arguments as for :func:`reports_of`."""
    return [
        Violation(record.time, record.symbol, "write of a drained node", f"by {record.owner}")
        for record in records
        if isinstance(record, Write) and record.time >= since and record.owner.startswith(f"{node}/")
    ]


def moves_of_cordoned(records: Iterable[Record], node: str, kept: Collection[str], since: float) -> list[Violation]:
    """Violations: every symbol that a cordoned node gets or loses.

    Args:
        records: the history.
        node: its id.
        kept: the symbols that it has.
        since: Unix time, s.
    """
    return [
        Violation(record.time, record.symbol, "moved to or off a cordoned node", f"{record.owner} has it now")
        for record in records
        if isinstance(record, Acquisition)
        and record.time >= since
        and (record.symbol in kept or record.owner.startswith(f"{node}/"))
    ]


def _holds(_assignment: StoredAssignment) -> str:
    return ""


def _ask(
    injector: Injector,
    request: Request,
    kind: str,
    victim: str,
    lacks: Callable[[StoredAssignment], str] = _holds,
) -> tuple[Injected, float]:
    """Do what an operator asks for, and wait until it holds; if that takes more than 2 s, it is a violation.

    Args:
        injector: where.
        request: what is asked for.
        kind: of the fault that it is for the symbols that are reported on.
        victim: the symbols or the node.
        lacks: what the assignment lacks beyond what ``--wait`` looks at, or "".

    Returns:
        The fault, which begins when it was asked for, and when it held: Unix time, s.
    """
    at = time.time()
    settings = injector.stack.settings
    with injector.stack.client() as client:
        try:
            done = operate.change(client, settings, request, by="chaos")
            names = {request.about: [outcome.name for outcome in done.outcomes]}
            goal = waiting.Goal.of(done.desired._replace(version=done.version), **names)
            lacking = waiting.wait(client, settings, goal, HOLDS_WITHIN_S, lambda _line: None)
            while not lacking and (lack := lacks(read_assignment(client, settings.keys))):
                time.sleep(_POLL_S)
                lacking = [lack] if time.time() - at > HOLDS_WITHIN_S else []
        except (click.ClickException, waiting.Superseded) as error:
            lacking = [str(error)]
    held = time.time()
    if lacking or held - at > HOLDS_WITHIN_S:
        detail = f"after {held - at:.1f} s: {waiting.summary(lacking) or 'it holds only now'}"
        injector.violations.append(Violation(at, victim, f"`{request.what}` does not hold", detail))
    note = f"held after {held - at:.2f} s"
    return injector.begin_fault(kind, at, injector.symbols, victim=victim, note=note), held


def _away_and_back(injector: Injector, symbols: Sequence[Instrument], away: str, back: str) -> None:
    """Remove or pause symbols for a while. Only the other symbols must go on."""
    victim = " ".join(symbols)
    with injector.without(symbols):
        _, held = _ask(injector, symbols_request(away, symbols), f"symbol-{away}", victim)
        since = held + (_UNDER_WAY_S if away == "pause" else 0.0)  # a removed symbol is fenced off
        time.sleep(injector.rng.uniform(2 * _UNDER_WAY_S, 3.0))
        injector.violations += reports_of(list(injector.recorder.records), symbols, since)
        fault, _ = _ask(injector, symbols_request(back, symbols), f"symbol-{back}", victim)
    first = injector.begin_fault("first-report", fault.time, symbols, victim=victim)
    injector.await_recovery(first, steady_s=_DELETED_AGAIN_S if away == "remove" else 2 * _UNDER_WAY_S)


def _some(injector: Injector) -> list[Instrument]:
    count = injector.rng.randint(1, max(len(injector.symbols) // 6, 1))
    return [Instrument(symbol) for symbol in sorted(injector.rng.sample(injector.symbols, count))]


def _symbol_remove(injector: Injector) -> None:
    _away_and_back(injector, _some(injector), "remove", "add")


def _symbol_pause(injector: Injector) -> None:
    _away_and_back(injector, _some(injector), "pause", "resume")


def _node_cordon(injector: Injector) -> None:
    node, owner, _ = injector.random_node()
    fault, held = _ask(injector, mode_request("cordon", [node]), "node-cordon", node)
    injector.await_recovery(fault)
    symbols = injector.symbols_of(owner)
    # These score highest on this node, so they would come back if it were not cordoned.
    away = [Instrument(symbol) for symbol in symbols[: injector.rng.randint(1, 2)]]
    if away:
        _away_and_back(injector, away, "pause", "resume")
    kept = set(symbols).difference(away)
    injector.violations += moves_of_cordoned(list(injector.recorder.records), node, kept, held + _UNDER_WAY_S)
    _ask(injector, mode_request("uncordon", [node]), "node-uncordon", node)


def _node_drain(injector: Injector) -> None:
    node, _, _ = injector.random_node()
    _, held = _ask(injector, mode_request("drain", [node]), "node-drain", node)
    # A symbol that has just moved does not move again, so the node would get none at once.
    hold_s = injector.stack.settings.nt_min_hold_ms / 1000
    time.sleep(hold_s + injector.rng.uniform(2 * _UNDER_WAY_S, 2.0))
    injector.violations += writes_of_drained(list(injector.recorder.records), node, held + _UNDER_WAY_S)

    def has_none(assignment: StoredAssignment) -> str:
        return "" if any(one.node == node for one in assignment.owners.values()) else f"{node} has no symbol"

    _ask(injector, mode_request("uncordon", [node]), "node-uncordon", node, has_none)


def _node_weight(injector: Injector) -> None:
    injector.await_no_voluntary_moves()  # a symbol that has just moved would stay for a while
    own = injector.stack.settings.nt_node_weight
    node, weight = injector.rng.choice(NODES), injector.rng.choice((LIGHT, HEAVY)) * own

    def too_many(assignment: StoredAssignment) -> str:
        weights = {name: weight if name == node else own for name in NODES}
        held = Counter(owner.node for owner in assignment.owners.values())
        room = capacities(len(assignment.owners), weights, injector.stack.settings.nt_hrw_load_factor)
        return "; ".join(
            f"{name} has {held[name]} symbols, not {room[name]}" for name in NODES if held[name] > room[name]
        )

    _ask(injector, weight_request(node, weight), "node-weight", node, too_many)
    time.sleep(2 * _UNDER_WAY_S)
    _ask(injector, weight_request(node, None), "node-weight", node)


KINDS = (
    FaultKind("symbol-remove", TWO_PERIODS_MS, _symbol_remove, "symbols are removed, and added 1-4 s later"),
    FaultKind("symbol-add", TWO_PERIODS_MS, None, "removed symbols are added; the other symbols meanwhile"),
    FaultKind("symbol-pause", TWO_PERIODS_MS, _symbol_pause, "symbols are paused, and resumed 1-4 s later"),
    FaultKind("symbol-resume", TWO_PERIODS_MS, None, "paused symbols are resumed; the other symbols meanwhile"),
    FaultKind("first-report", HOLDS_WITHIN_S * 1000, None, "an added or resumed symbol until it is reported on"),
    FaultKind("node-cordon", TWO_PERIODS_MS, _node_cordon, "a node is cordoned, and loses a symbol meanwhile"),
    FaultKind("node-drain", TWO_PERIODS_MS, _node_drain, "all symbols of a node move to others, 3-4 s"),
    FaultKind("node-uncordon", TWO_PERIODS_MS, None, "a node may have symbols again"),
    FaultKind(
        "node-weight", TWO_PERIODS_MS, _node_weight, "a node's share is four times, or a quarter of, the others'"
    ),
)
