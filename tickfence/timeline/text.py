"""An event as a reader gets it: a JSON object with one plain sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tickfence.coordination.controller import MoveReason
from tickfence.coordination.leadership import LeaderReason
from tickfence.coordination.membership import NodeReason
from tickfence.timeline.events import Event, Kind, SymbolReason

_NUMBERS = ("generation", "term", "version")
_SYMBOLS_NAMED = 6
_ROUTES_NAMED = 4

_NODE: Mapping[str, str] = {
    NodeReason.JOINED: "joined",
    NodeReason.LEFT: "left in order",
    NodeReason.DIED: "died: its connection vanished",
    NodeReason.SILENT: "fell silent: no heartbeat",
    NodeReason.STUCK: "is stuck: it is alive, but takes no messages",
    NodeReason.DRAINED: "is drained: it is alive, and gets no symbols",
}
_LEADER: Mapping[str, str] = {
    LeaderReason.FIRST: "leads, the first to do so",
    LeaderReason.TOOK_OVER: "took the lead: the leader before it was gone",
    LeaderReason.HANDED_OVER: "leads: the leader before it resigned",
    LeaderReason.CANNOT_SEND: "leads: the leader before it could not reach the broker",
    LeaderReason.RENEWED: "leads again: its lead had run out, or was lost with Redis' data",
}
_MOVED: Mapping[str, str] = {
    MoveReason.FIRST: "first assignment",
    MoveReason.JOINED: "a node joined",
    MoveReason.LEFT: "a node left",
    MoveReason.DIED: "a node died",
    MoveReason.SILENT: "a node fell silent",
    MoveReason.STUCK: "a node is stuck",
    MoveReason.DRAINED: "a node was drained",
    MoveReason.REBALANCE: "better balance",
    MoveReason.SYMBOLS: "the list of symbols changed",
    MoveReason.DATA_LOST: "Redis had lost the assignment, so it was published again",
}


def to_json(event: Event) -> dict[str, Any]:
    """The event as a JSON object: ``id``, ``at`` (server ms), ``kind``, ``reason``, ``text``, and the kind's fields.

    ``generation`` and ``term`` are numbers, ``moves`` is an object.
    """
    fields: dict[str, Any] = dict(event.fields)
    for name in _NUMBERS:
        if fields.get(name, "").isdigit():
            fields[name] = int(fields[name])
    if event.kind == Kind.MOVED:
        fields["moves"] = event.moves
    own = {"id": event.id, "at": event.at_ms, "kind": event.kind, "reason": event.reason, "text": sentence(event)}
    return fields | own


def sentence(event: Event) -> str:
    """What happened, in plain English.

    Example:
        >>> sentence(Event("1-0", 1, "node", "died", {"node": "node-003"}))
        'node-003 died: its connection vanished.'
        >>> sentence(Event("1-0", 1, "moved", "node died", {"moves": '{"BTCUSDT":["node-003","node-001"]}'}))
        'A node died: BTCUSDT from node-003 to node-001.'
    """
    of, reason = event.fields.get, event.reason
    match event.kind:
        case Kind.NODE:
            text = f"{of('node', '?')} {_NODE.get(reason, reason)}"
        case Kind.LEADER:
            text = f"{leader_name(of('leader', '?'))} {_LEADER.get(reason, reason)}"
        case Kind.DESIRED:
            text = f"{of('by', '?')}: {of('what', '?')}"
        case Kind.CONFLICT:
            holder = "another process of that name" if of("holder") == of("node") else of("holder", "?")
            text = f"{of('node', '?')} was refused the lease of {of('symbol', '?')}: {holder} holds it"
        case Kind.SYMBOL if reason == SymbolReason.SET_ASIDE:
            nodes = _listed(of("nodes", "?").split(","))
            text = f"{of('symbol', '?')} is set aside: nodes got stuck while they worked on it ({nodes})"
        case Kind.SYMBOL:
            text = f"{of('symbol', '?')} is no longer set aside"
        case _:
            why = _MOVED.get(reason, reason)
            text = f"{why[:1].upper()}{why[1:]}: {_moved(event)}"
    return f"{text}."


def _moved(event: Event) -> str:
    routes: dict[tuple[str | None, str | None], list[str]] = {}
    for symbol, route in event.moves.items():
        routes.setdefault(route, []).append(symbol)
    count = sum(map(len, routes.values()))
    if not routes:
        return "no symbol moved"
    if len(routes) > _ROUTES_NAMED:
        return f"{count} symbols to {len({now for _, now in routes if now})} nodes"
    named = count <= _SYMBOLS_NAMED
    return ", ".join(
        f"{_listed(symbols) if named else _counted(symbols)}{_along(*route)}" for route, symbols in routes.items()
    )


def _along(before: str | None, now: str | None) -> str:
    if now is None:
        return f" given up by {before}"
    return f" from {before} to {now}" if before else f" to {now}"


def _counted(symbols: list[str]) -> str:
    return f"{len(symbols)} symbols" if len(symbols) > 1 else symbols[0]


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def leader_name(leader: str) -> str:
    """What an operator calls a dispatcher.

    Without ``NT_NAME`` it is named after its host, and the first digits of its incarnation tell two on one host apart.

    Example:
        >>> leader_name("beat-1/5f0c9a1be2d43786"), leader_name("beat@host-1/5f0c9a1be2d43786")
        ('beat-1', 'beat@host-1/5f0c')
    """
    name, _, incarnation = leader.rpartition("/")
    return f"{name}/{incarnation[:4]}" if "@" in name else name or leader
