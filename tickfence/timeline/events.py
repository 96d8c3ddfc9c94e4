"""What happened lately, for people to read: one capped stream, ``nt:events``, oldest first.

The leading dispatcher appends changes of nodes, of the assignment and of the lead. Nodes append refused leases. Nothing
is decided by the stream, and nothing waits for it. So an event may be missing.

Every entry is flat text: ``kind`` and ``reason``, and by kind

- ``node``: ``node``, ``incarnation``, ``term`` of the leader that observed it
- ``moved``, one for each change of the assignment: ``generation``, ``term``, ``by`` (the dispatcher), ``moves``
  (JSON, symbol -> [node before or null, node now or null])
- ``leader``: ``leader``, ``term``
- ``desired``: ``version``, ``by``, ``what``: a change of the desired state; the reason is its verb
- ``conflict``: ``symbol``, ``node`` that was refused, ``holder`` of the lease
- ``symbol``: ``symbol`` that is given to no node, or to one again; ``nodes`` that got stuck with it (``a,b``), ``term``

An event's time is that of its id: the Redis server's time when the event was appended, some ms after what happened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from tickfence.coordination.controller import MoveReason
from tickfence.coordination.desired import Change
from tickfence.coordination.leadership import LeaderReason
from tickfence.coordination.membership import NodeReason
from tickfence.coordination.owner import Owner
from tickfence.keys import Keys

KEPT = 1000
"""About how many events are kept."""

Fields = dict[str, str]
Place = tuple[int, int]
"""Of an entry in the stream, as its id says it: server ms, and a number that tells entries of one ms apart."""
Moves = dict[str, tuple[str | None, str | None]]
"""Symbol -> (node before, node now); ``None`` is no node."""

_SET_BACK_MS, _BEYOND_MS = 2_000, 60_000

_ID = re.compile(r"[0-9]{1,19}(-[0-9]{1,19})?")


class Kind(StrEnum):
    """What an event is about."""

    NODE = "node"
    MOVED = "moved"
    LEADER = "leader"
    CONFLICT = "conflict"
    DESIRED = "desired"
    SYMBOL = "symbol"


class SymbolReason(StrEnum):
    """What became of a symbol."""

    SET_ASIDE = "set aside"  # two nodes got stuck while they worked on it
    RESUMED = "resumed"


class Event(NamedTuple):
    """One entry of the stream.

    Attributes:
        id: its place in the stream.
        at_ms: the Redis server's time, ms.
        kind: a :class:`Kind`.
        reason: why it happened.
        fields: all other fields, as in the stream.
    """

    id: str
    at_ms: int
    kind: str
    reason: str
    fields: Fields

    @property
    def moves(self) -> Moves:
        """The moves of a ``moved`` event; empty if there are none or they cannot be read."""
        try:
            found = json.loads(self.fields.get("moves", ""))
            return {symbol: (before, now) for symbol, (before, now) in found.items()}
        except (ValueError, AttributeError, TypeError):
            return {}


def node_event(reason: NodeReason, owner: Owner, term: int) -> Fields:
    """The fields of the event that a node joined or left the live nodes."""
    return _fields(Kind.NODE, reason, node=owner.node, incarnation=owner.incarnation, term=term)


def moved_event(reason: MoveReason, generation: int, term: int, by: str, moves: Moves) -> Fields:
    """The fields of the event that the assignment changed."""
    listed = json.dumps(moves, separators=(",", ":"))
    return _fields(Kind.MOVED, reason, generation=generation, term=term, by=by, moves=listed)


def leader_event(reason: LeaderReason, leader: str, term: int) -> Fields:
    """The fields of the event that a dispatcher leads from now on."""
    return _fields(Kind.LEADER, reason, leader=leader, term=term)


def desired_event(change: Change) -> Fields:
    """The fields of the event that an operator has changed the desired state."""
    verb = " ".join(change.what.split()[:2])
    return _fields(Kind.DESIRED, verb, version=change.version, by=change.by, what=change.what)


def conflict_event(symbol: str, node: str, holder: str) -> Fields:
    """The fields of the event that ``node`` was refused a lease, because ``holder`` has it in the same generation."""
    return _fields(Kind.CONFLICT, "lease held", symbol=symbol, node=node, holder=holder)


def symbol_event(reason: SymbolReason, symbol: str, term: int, nodes: Iterable[str] = ()) -> Fields:
    """The fields of the event that a symbol is set aside, or no longer so.

    Args:
        reason: which of both.
        symbol: the symbol.
        term: of the leader.
        nodes: ids of the nodes that got stuck with it.
    """
    return _fields(Kind.SYMBOL, reason, symbol=symbol, nodes=",".join(nodes), term=term)


def queue_append(pipe: Any, keys: Keys, fields: Mapping[str, str], identity: str = "*") -> None:
    """Add the appending of one event to a pipeline, or do it if ``pipe`` is a client. One command, one key.

    Args:
        pipe: the pipeline or the client.
        keys: the deployment's keys.
        fields: of the event.
        identity: its id; by default Redis gives it one.
    """
    flat = [text for pair in fields.items() for text in pair]
    pipe.execute_command("XADD", keys.events, "MAXLEN", "~", KEPT, identity, *flat)


def next_id(client: Any, keys: Keys, seen_ms: int) -> str:
    """The id for the next event: ``*``, for Redis to give it one, or the begin of a lost stream if its clock is behind.

    So ids go on behind those that readers know, as those of history do.

    Args:
        client: the data plane.
        keys: the deployment's keys.
        seen_ms: ms of the latest id that the caller has seen; 0 for none.
    """
    seconds, _ = client.time()
    if seconds * 1000 >= seen_ms - _SET_BACK_MS:
        return "*"
    newest = client.execute_command("XREVRANGE", keys.events, "+", "-", "COUNT", 1)
    return "*" if newest and place(newest[0][0])[0] >= seen_ms else f"{seen_ms + _BEYOND_MS}-0"


def read_command(keys: Keys, after: str = "", limit: int = 200) -> tuple[str | int, ...]:
    """The command that reads events; :func:`parse` reads its reply.

    Args:
        keys: the deployment's keys.
        after: an event's id, to get the first events after it; ``""`` to get the last events.
        limit: how many events to get, from 1 to 1000.

    Raises:
        ValueError: ``after`` is not an id, or ``limit`` is out of range.
    """
    if not 1 <= limit <= KEPT:
        raise ValueError(f"limit {limit} must be from 1 to {KEPT}")
    if not after:
        return ("XREVRANGE", keys.events, "+", "-", "COUNT", limit)
    if not _ID.fullmatch(after):
        raise ValueError(f"after {after!r} must be the id of an event, like 1700000000000-0")
    return ("XRANGE", keys.events, f"({after}", "+", "COUNT", limit)


def read(client: Any, keys: Keys, after: str = "", limit: int = 200) -> list[Event]:
    """Events, oldest first; see :func:`read_command`.

    Raises:
        ValueError: ``after`` is not an id, or ``limit`` is out of range.
        redis.exceptions.RedisError: Redis cannot be reached, or the key is not a stream.
    """
    return parse(client.execute_command(*read_command(keys, after, limit)))


def parse(reply: Iterable[Any]) -> list[Event]:
    """The events of a reply, oldest first; an entry that is not an event is left out.

    Args:
        reply: of redis-py or as on the wire, in either order, of bytes or text.
    """
    found = [_event(identity, fields) for identity, fields in reply]
    events = [event for event in found if event.kind in list(Kind)]
    return sorted(events, key=lambda event: place(event.id))


def place(identity: str | bytes) -> Place:
    """The place that an id names. An incomplete one is that of the first entry of its ms."""
    ms, _, number = _text(identity).partition("-")
    return int(ms), int(number or 0)


def _fields(kind: Kind, reason: str, **others: str | int) -> Fields:
    return {"kind": kind, "reason": reason, **{name: str(value) for name, value in others.items()}}


def _event(identity: Any, fields: Any) -> Event:
    if not isinstance(fields, Mapping):
        flat = iter(fields or ())
        fields = dict(zip(flat, flat, strict=False))
    plain = {_text(name): _text(value) for name, value in fields.items()}
    name = _text(identity)
    return Event(name, place(name)[0], plain.pop("kind", ""), plain.pop("reason", ""), plain)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
