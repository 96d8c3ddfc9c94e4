"""What an operator asks for, and what that changes in the desired state. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

from tickfence.coordination import desired as operations
from tickfence.coordination.desired import Desired, DesiredNode, NodeMode, SymbolState
from tickfence.instrument import Instrument
from tickfence.readers.reader import UnknownSymbol

_NAMED = 8

_SYMBOLS: Mapping[str, Callable[[Desired, Sequence[Instrument], int], Desired]] = {
    "add": operations.add,
    "remove": operations.remove,
    "pause": operations.pause,
    "resume": operations.resume,
}
_MODES = {"cordon": NodeMode.CORDONED, "drain": NodeMode.DRAINED, "uncordon": NodeMode.OPEN}
_MODE_WORDS = {NodeMode.CORDONED: "cordoned", NodeMode.DRAINED: "drained", NodeMode.OPEN: "uncordoned"}


class Outcome(NamedTuple):
    """What became of one symbol or node.

    Attributes:
        name: The symbol or node.
        change: What happened to it in one or two words, like ``added``; ``""`` if it was as asked for already.
        text: One line.
    """

    name: str
    change: str
    text: str


class Request(NamedTuple):
    """One command that changes the desired state.

    Attributes:
        about: ``symbols`` or ``nodes``.
        what: For the record: what was typed, like ``symbols add ETHUSDT``.
        compute: Returns the new state, from the present one and the server's time in ms; the same object if nothing changes.
        outcomes: Says what the step from one state to the other changes for what was asked for.
    """

    about: Literal["symbols", "nodes"]
    what: str
    compute: Callable[[Desired, int], Desired]
    outcomes: Callable[[Desired, Desired], list[Outcome]]


def symbols_request(verb: str, symbols: Sequence[Instrument]) -> Request:
    """Return the request to ``add``, ``remove``, ``pause`` or ``resume`` symbols."""

    def compute(desired: Desired, now_ms: int) -> Desired:
        for symbol in symbols:
            # A symbol that was removed a moment ago is no mistake: the same command may have been given twice.
            if verb != "add" and symbol not in desired.listed and (verb != "remove" or symbol not in desired.removed):
                raise UnknownSymbol(symbol, desired.listed)
        return _SYMBOLS[verb](desired, symbols, now_ms)

    outcomes = partial(_symbol_outcomes, symbols)
    return Request("symbols", f"symbols {verb} {_listed(symbols)}", compute, outcomes)


def apply_request(wanted: Mapping[Instrument, SymbolState], source: str) -> Request:
    """Return the request to have these symbols and no others.

    Args:
        wanted: Symbol -> active or paused.
        source: Where they come from, for the record: the file's name.
    """

    def compute(desired: Desired, now_ms: int) -> Desired:
        removed = dict.fromkeys(desired.listed, SymbolState.REMOVED)
        return operations.set_symbols(desired, {**removed, **wanted}, now_ms)

    def outcomes(before: Desired, after: Desired) -> list[Outcome]:
        return [one for one in _symbol_outcomes(sorted({*before.listed, *wanted}), before, after) if one.change]

    return Request("symbols", f"symbols apply {source}", compute, outcomes)


def mode_request(verb: str, nodes: Sequence[str]) -> Request:
    """Return the request to ``cordon``, ``drain`` or ``uncordon`` nodes."""

    def compute(desired: Desired, now_ms: int) -> Desired:
        for node in nodes:
            desired = operations.set_mode(desired, node, _MODES[verb], now_ms)
        return desired

    return Request("nodes", f"nodes {verb} {_listed(nodes)}", compute, partial(_node_outcomes, nodes))


def weight_request(node: str, weight: float | None) -> Request:
    """Return the request to give a node this weight; ``None``: its own."""
    shown = "default" if weight is None else f"{weight:g}"

    def compute(desired: Desired, now_ms: int) -> Desired:
        return operations.set_weight(desired, node, weight, now_ms)

    def outcomes(before: Desired, after: Desired) -> list[Outcome]:
        again = after.node(node).weight == before.node(node).weight
        has = "its own weight" if weight is None else f"weight {shown}"
        return [Outcome(node, "" if again else "weighted", f"{node} has {has}{' already' if again else ' now'}")]

    return Request("nodes", f"nodes weight {node} {shown}", compute, outcomes)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return " ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _symbol_outcomes(symbols: Sequence[Instrument], before: Desired, after: Desired) -> list[Outcome]:
    return [_symbol_outcome(symbol, before, after) for symbol in symbols]


def _symbol_outcome(symbol: Instrument, before: Desired, after: Desired) -> Outcome:
    was, now = (state.symbols.get(symbol) for state in (before, after))
    state_before = SymbolState.REMOVED if was is None else was.state
    state = SymbolState.REMOVED if now is None else now.state
    if was == now or state_before == state == SymbolState.REMOVED:
        return Outcome(symbol, "", f"{symbol} is {state} already")
    if state == SymbolState.REMOVED:
        return Outcome(symbol, "removed", f"removed {symbol}")
    if state_before == SymbolState.REMOVED:
        change = "added" if state == SymbolState.ACTIVE else "added paused"
        return Outcome(symbol, change, f"added {symbol}{'' if state == SymbolState.ACTIVE else ', paused'}")
    change = "paused" if state == SymbolState.PAUSED else "resumed"
    return Outcome(symbol, change, f"{change} {symbol}")


def _node_outcomes(nodes: Sequence[str], before: Desired, after: Desired) -> list[Outcome]:
    found = []
    for node in nodes:
        was, now = before.node(node), after.node(node)
        word = _MODE_WORDS[now.mode]
        if was.mode == now.mode:
            found.append(Outcome(node, "", f"{node} is {_present(now)} already"))
        else:
            found.append(Outcome(node, word, f"{word} {node}"))
    return found


def _present(node: DesiredNode) -> str:
    return "open" if node.mode == NodeMode.OPEN else _MODE_WORDS[node.mode]
