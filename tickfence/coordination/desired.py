"""What operators want: which symbols are reported on, and which nodes get them. No I/O.

``SYMBOLS`` and ``NT_NODE_WEIGHT`` say how a deployment begins. After that operators change the desired state while
everything runs; beats, ingests and readers follow its version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from math import inf
from typing import Any, NamedTuple, Self

from tickfence.instrument import Instrument, parse_instrument

KEPT_CHANGES = 20
"""How many of the last changes are stored."""

REMEMBERED_MS = 600_000
"""How long the removal of a symbol is stored, so that a process that was away learns of it."""

_SYMBOL, _NODE = "symbol:", "node:"


class SymbolState(StrEnum):
    """What an operator wants of a symbol."""

    ACTIVE = "active"
    PAUSED = "paused"  # its market data is kept, but nothing is reported
    REMOVED = "removed"


class NodeMode(StrEnum):
    """What an operator wants of a node."""

    OPEN = "open"
    CORDONED = "cordoned"  # it keeps its symbols and gets no more
    DRAINED = "drained"  # it has no symbols


class DesiredSymbol(NamedTuple):
    """A symbol, and since when it is wanted like this: server ms."""

    state: SymbolState
    since_ms: int = 0


class DesiredNode(NamedTuple):
    """A node by its id, whichever process that is.

    Attributes:
        mode: whether it gets symbols.
        weight: its share of the symbols; ``None``: the ``NT_NODE_WEIGHT`` that it registered.
        since_ms: since when it is wanted like this, server ms.
    """

    mode: NodeMode = NodeMode.OPEN
    weight: float | None = None
    since_ms: int = 0


class Change(NamedTuple):
    """One change of the desired state.

    Attributes:
        version: the version that it made.
        at_ms: when, server ms.
        by: who made it, like ``anna@host-7``.
        what: what was asked for, like ``symbols add ETHUSDT``.
    """

    version: int
    at_ms: int
    by: str
    what: str


class Desired(NamedTuple):
    """The desired state.

    Attributes:
        version: its number, which only grows; 0 before it is stored.
        symbols: every symbol that is wanted, and for some minutes those that were removed.
        nodes: node id -> what is wanted of it. A node that is not named is open.
        changes: the last changes, oldest first.

    Example:
        >>> desired = seed([Instrument("BTCUSDT"), Instrument("ETHUSDT")])
        >>> pause(desired, [Instrument("ETHUSDT")], now_ms=1_700_000_000_000).active
        ('BTCUSDT',)
    """

    version: int
    symbols: Mapping[Instrument, DesiredSymbol]
    nodes: Mapping[str, DesiredNode] = {}
    changes: tuple[Change, ...] = ()

    @property
    def active(self) -> tuple[Instrument, ...]:
        """The symbols to report on, sorted."""
        return self._in(SymbolState.ACTIVE)

    @property
    def listed(self) -> tuple[Instrument, ...]:
        """The symbols whose market data is kept, sorted: active and paused ones."""
        return self._in(SymbolState.ACTIVE, SymbolState.PAUSED)

    @property
    def paused(self) -> frozenset[Instrument]:
        """The paused symbols."""
        return frozenset(self._in(SymbolState.PAUSED))

    @property
    def removed(self) -> Mapping[Instrument, int]:
        """The symbols that were removed lately -> when, server ms."""
        return {name: one.since_ms for name, one in self.symbols.items() if one.state is SymbolState.REMOVED}

    def node(self, node_id: str) -> DesiredNode:
        """What is wanted of a node."""
        return self.nodes.get(node_id, DesiredNode())

    def without_old_removals(self, now_ms: int) -> Self:
        """Without the symbols that were removed long ago."""
        old = {name for name, at_ms in self.removed.items() if now_ms - at_ms >= REMEMBERED_MS}
        return self._replace(symbols={name: one for name, one in self.symbols.items() if name not in old})

    def _in(self, *states: SymbolState) -> tuple[Instrument, ...]:
        return tuple(sorted(name for name, one in self.symbols.items() if one.state in states))


def seed(symbols: Iterable[Instrument]) -> Desired:
    """The state that a deployment begins with: all these symbols are active, all nodes are open."""
    return Desired(0, {symbol: DesiredSymbol(SymbolState.ACTIVE) for symbol in symbols})


def add(desired: Desired, symbols: Iterable[Instrument], now_ms: int) -> Desired:
    """Want symbols. Those that are wanted already stay as they are, paused ones too."""
    listed = frozenset(desired.listed)
    return set_symbols(desired, dict.fromkeys((s for s in symbols if s not in listed), SymbolState.ACTIVE), now_ms)


def remove(desired: Desired, symbols: Iterable[Instrument], now_ms: int) -> Desired:
    """Want symbols no more. Those that are not wanted anyway stay as they are."""
    listed = frozenset(desired.listed)
    return set_symbols(desired, dict.fromkeys((s for s in symbols if s in listed), SymbolState.REMOVED), now_ms)


def pause(desired: Desired, symbols: Iterable[Instrument], now_ms: int) -> Desired:
    """Want no reports of symbols for a while.

    Raises:
        KeyError: a symbol is not wanted; its name is the argument.
    """
    return set_symbols(desired, dict.fromkeys(_all_listed(desired, symbols), SymbolState.PAUSED), now_ms)


def resume(desired: Desired, symbols: Iterable[Instrument], now_ms: int) -> Desired:
    """Want reports of symbols again: of those that are paused, and of active ones that the leader has set aside.

    Raises:
        KeyError: a symbol is not wanted; its name is the argument.
    """
    resumed = {s: DesiredSymbol(SymbolState.ACTIVE, now_ms) for s in _all_listed(desired, symbols)}
    return desired._replace(symbols={**desired.symbols, **resumed}) if resumed else desired


def set_symbols(desired: Desired, states: Mapping[Instrument, SymbolState], now_ms: int) -> Desired:
    """Set what is wanted of some symbols; all others stay as they are.

    Args:
        desired: the state so far.
        states: symbol -> what is wanted of it.
        now_ms: the server's time.

    Returns:
        The new state; the very same object if nothing changes.
    """
    changed = {
        symbol: DesiredSymbol(state, now_ms)
        for symbol, state in states.items()
        if symbol not in desired.symbols or desired.symbols[symbol].state is not state
    }
    return desired._replace(symbols={**desired.symbols, **changed}) if changed else desired


def set_mode(desired: Desired, node_id: str, mode: NodeMode, now_ms: int) -> Desired:
    """Set whether a node gets symbols; the very same object is returned if nothing changes."""
    return _set_node(desired, node_id, desired.node(node_id)._replace(mode=mode), now_ms)


def set_weight(desired: Desired, node_id: str, weight: float | None, now_ms: int) -> Desired:
    """Set a node's share of the symbols; ``None`` is the weight that it registers. As :func:`set_mode`.

    Raises:
        ValueError: the weight is not a finite number above 0.
    """
    if weight is not None and not 0 < weight < inf:
        raise ValueError(f"weight {weight!r} must be a number above 0")
    return _set_node(desired, node_id, desired.node(node_id)._replace(weight=weight), now_ms)


def fields(desired: Desired) -> dict[str, str]:
    """The fields of the hash ``nt:desired``, without its version."""
    found = {
        f"{_SYMBOL}{name}": _json({"state": one.state, "since": one.since_ms}) for name, one in desired.symbols.items()
    }
    found |= {
        f"{_NODE}{node_id}": _json({"mode": one.mode, "weight": one.weight, "since": one.since_ms})
        for node_id, one in desired.nodes.items()
    }
    changes = [{"version": c.version, "at": c.at_ms, "by": c.by, "what": c.what} for c in desired.changes]
    return found | {"changes": _json(changes)}


def parse_desired(found: Mapping[bytes, bytes]) -> Desired | None:
    """The desired state, from the reply to ``HGETALL nt:desired``; ``None`` if nothing is stored.

    Fields of other names are those of a newer version, and left out.

    Raises:
        ValueError: a field is not what tickfence stores; the text names it.
    """
    if not found:
        return None
    symbols: dict[Instrument, DesiredSymbol] = {}
    nodes: dict[str, DesiredNode] = {}
    version = 0
    changes: tuple[Change, ...] = ()
    for key, value in found.items():
        try:
            field, text = key.decode(), value.decode()
            if field == "version":
                version = int(text)
            elif field == "changes":
                changes = tuple(
                    Change(int(c["version"]), int(c["at"]), str(c["by"]), str(c["what"])) for c in json.loads(text)
                )
            elif field.startswith(_SYMBOL):
                one = json.loads(text)
                symbol = parse_instrument(field.removeprefix(_SYMBOL))
                symbols[symbol] = DesiredSymbol(SymbolState(one["state"]), int(one["since"]))
            elif field.startswith(_NODE):
                nodes[field.removeprefix(_NODE)] = _node(json.loads(text))
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise ValueError(
                f"field {key!r} of the desired state cannot be read: {error}; it is {value[:80]!r}"
            ) from error
    if version <= 0:
        raise ValueError("the desired state has no version")
    return Desired(version, symbols, nodes, changes)


def _node(one: Any) -> DesiredNode:
    weight = None if one["weight"] is None else float(one["weight"])
    if weight is not None and not 0 < weight < inf:
        raise ValueError(f"weight {weight!r} must be a number above 0")
    return DesiredNode(NodeMode(one["mode"]), weight, int(one["since"]))


def _set_node(desired: Desired, node_id: str, node: DesiredNode, now_ms: int) -> Desired:
    if node == desired.node(node_id):
        return desired
    others = {name: one for name, one in desired.nodes.items() if name != node_id}
    if (node.mode, node.weight) != (NodeMode.OPEN, None):
        others[node_id] = node._replace(since_ms=now_ms)
    return desired._replace(nodes=others)


def _all_listed(desired: Desired, symbols: Iterable[Instrument]) -> list[Instrument]:
    listed, asked = frozenset(desired.listed), list(symbols)
    for symbol in asked:
        if symbol not in listed:
            raise KeyError(symbol)
    return asked


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
