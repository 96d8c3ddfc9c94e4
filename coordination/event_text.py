"""An event as a client gets it: a JSON object, and one plain sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coordination.events import Event, Kind, LeaderReason, MoveReason, NodeReason

_NUMBERS = ("generation", "term")
_SYMBOLS_NAMED = 3

_NODE: Mapping[str, str] = {
    NodeReason.JOINED: "joined",
    NodeReason.LEFT: "left in order",
    NodeReason.DIED: "died: its connection vanished",
    NodeReason.SILENT: "fell silent: no heartbeat",
}
_LEADER: Mapping[str, str] = {
    LeaderReason.FIRST: "leads, the first to do so",
    LeaderReason.TOOK_OVER: "took the lead: the leader before it was gone",
    LeaderReason.HANDED_OVER: "leads: the leader before it resigned",
    LeaderReason.RENEWED: "leads again: its lead had run out, or was lost with Redis' data",
}
_MOVED: Mapping[str, str] = {
    MoveReason.FIRST: "first assignment",
    MoveReason.JOINED: "a node joined",
    MoveReason.LEFT: "a node left",
    MoveReason.DIED: "a node died",
    MoveReason.SILENT: "a node fell silent",
    MoveReason.REBALANCE: "better balance",
    MoveReason.SYMBOLS: "the list of symbols changed",
    MoveReason.DATA_LOST: "Redis had lost the assignment, so it was published anew",
}


def to_json(event: Event) -> dict[str, Any]:
    """``id``, ``at`` (ms), ``kind``, ``reason``, ``text``, and the kind's own fields.

    ``generation`` and ``term`` are numbers, ``moves`` an object.
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
            text = f"{_name(of('leader', '?'))} {_LEADER.get(reason, reason)}"
        case Kind.CONFLICT:
            holder = "another process of that name" if of("holder") == of("node") else of("holder", "?")
            text = f"{of('node', '?')} was refused the lease of {of('symbol', '?')}: {holder} holds it"
        case _:
            why = _MOVED.get(reason, reason)
            text = f"{why[:1].upper()}{why[1:]}: {_moved(event)}"
    return f"{text}."


def _moved(event: Event) -> str:
    moves = event.moves
    if not moves:
        return "no symbol moved"
    if len(moves) <= _SYMBOLS_NAMED:
        return ", ".join(_one(symbol, before, now) for symbol, (before, now) in moves.items())
    sources = {before for before, _ in moves.values()}
    targets = {now for _, now in moves.values() if now}
    text = f"{len(moves)} symbols"
    if len(sources) == 1 and None not in sources:
        text += f" from {sources.pop()}"
    return f"{text} to {_listed(sorted(targets))}" if targets else f"{text} given up"


def _one(symbol: str, before: str | None, now: str | None) -> str:
    if now is None:
        return f"{symbol} given up by {before}"
    return f"{symbol} from {before} to {now}" if before else f"{symbol} to {now}"


def _listed(names: list[str]) -> str:
    if len(names) <= _SYMBOLS_NAMED + 1:
        return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"{len(names)} nodes"


def _name(leader: str) -> str:
    """A dispatcher's name without the number of its start."""
    return leader.rpartition("/")[0] or leader
