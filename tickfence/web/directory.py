"""Who is there and who owns what: nodes, leader, assignment, as Redis shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from tickfence.coordination.assignment_store import StoredAssignment, parse_assignment
from tickfence.coordination.keys import ASSIGNMENT, DISPATCHER, NODES, node_key
from tickfence.coordination.membership import NodeRecord, parse_node
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.web.data_plane import DataPlane, Unreadable


class Node(Struct, frozen=True, rename="camel", gc=False):
    """One node, one process start."""

    node: str
    host: str
    pid: int
    incarnation: str
    heartbeat_age_ms: Annotated[int, Meta(ge=0)]
    symbols: Annotated[int, Meta(ge=0, description="How many symbols are assigned to it.")]
    reports_per_sec: Annotated[
        float | None, Meta(description="Reports seen of it in the last seconds; null while no stream is open.")
    ]
    weight: float
    alive: Annotated[bool, Meta(description="Its heartbeat is younger than NT_HEARTBEAT_TTL_MS.")]


class Leader(Struct, frozen=True, gc=False):
    """The beat that leads."""

    leader: str
    term: int


class Directory(NamedTuple):
    """What was read at ``now_ms`` (server time). ``nodes`` are sorted by id; ``reports_per_sec`` is not filled in."""

    now_ms: int
    nodes: list[Node]
    leader: Leader | None
    assignment: StoredAssignment


async def read_directory(plane: DataPlane, heartbeat_ttl_ms: int) -> Directory:
    """Nodes, leader and assignment, in two round trips.

    Raises:
        web.data_plane.Unavailable: Redis is away, or one of these keys holds something else.
    """
    _, [heartbeats] = await plane.read([("ZRANGE", NODES, 0, -1, "WITHSCORES")])
    names = [name.decode(errors="replace") for name, _ in heartbeats]
    commands = [("HGETALL", ASSIGNMENT), ("HMGET", DISPATCHER, "leader", "term", "until")]
    now_ms, [fields, lead, *hashes] = await plane.read([*commands, *(("HGETALL", node_key(name)) for name in names)])
    found = zip(names, heartbeats, hashes, strict=True)
    try:
        assignment = parse_assignment(fields)
        nodes = _nodes({name: (int(at), texts) for name, (_, at), texts in found}, assignment, now_ms, heartbeat_ttl_ms)
        return Directory(now_ms, nodes, _leader(lead, now_ms), assignment)
    except (ValueError, OverflowError) as error:
        raise Unreadable(
            f"one of {NODES}, {DISPATCHER}, {ASSIGNMENT} holds what is not tickfence's: {error}"
        ) from error


def known_symbols(assignment: StoredAssignment, configured: Sequence[Instrument]) -> tuple[Instrument, ...]:
    """The symbols that are assigned; while nothing is, as in single-instance mode, those of ``SYMBOLS``.

    The order is that of ``SYMBOLS``, then the alphabet's.
    """
    if not assignment.owners:
        return tuple(configured)
    place = {symbol: number for number, symbol in enumerate(configured)}
    return tuple(sorted(assignment.owners, key=lambda symbol: (place.get(symbol, len(place)), symbol)))


def _nodes(
    found: Mapping[str, tuple[int, Mapping[bytes, bytes]]], assignment: StoredAssignment, now_ms: int, ttl_ms: int
) -> list[Node]:
    """Those whose record is whole, sorted by id, from their last heartbeat and their record."""
    owned = Counter(assignment.owners.values())
    nodes = []
    for name, (heartbeat, texts) in sorted(found.items()):
        record = parse_node(name, texts)
        if record is not None:
            nodes.append(_node(record, max(0, now_ms - heartbeat), ttl_ms, owned))
    return nodes


def _node(record: NodeRecord, age_ms: int, ttl_ms: int, owned: Mapping[Owner, int]) -> Node:
    return Node(
        node=record.owner.node,
        host=record.host,
        pid=record.pid,
        incarnation=record.owner.incarnation,
        heartbeat_age_ms=age_ms,
        symbols=owned.get(record.owner, 0),
        reports_per_sec=None,
        weight=record.weight,
        alive=age_ms < ttl_ms and not record.left,
    )


def _leader(lead: Sequence[bytes | None], now_ms: int) -> Leader | None:
    leader, term, until = lead
    if not leader or term is None or until is None or int(until) <= now_ms:
        return None
    return Leader(leader.decode(), int(term))
