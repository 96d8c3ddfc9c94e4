"""Nodes, leader and assignment, as Redis shows them at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import redis.exceptions

from tickfence.coordination.assignment_store import StoredAssignment, read_assignment
from tickfence.coordination.keys import DISPATCHER, NODES, node_key
from tickfence.coordination.membership import NodeRecord, parse_node
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.redis_access.address import parse_cluster
from tickfence.redis_access.errors import not_offered
from tickfence.settings import Settings


class NodeState(NamedTuple):
    """One process start of a node.

    Attributes:
        state: ``alive``, or what speaks against it: ``left`` in order, ``silent`` for longer than ``NT_HEARTBEAT_TTL_MS``,
            ``gone``: its connection is.
        heartbeat_age_ms: since its last heartbeat; ``None`` where it is not among those who beat.
        symbols: those assigned to it, in order.
    """

    record: NodeRecord
    state: str
    heartbeat_age_ms: int | None
    symbols: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.record.owner.node


class Lead(NamedTuple):
    """The dispatcher that leads: its name, its term, and the ms until its lead runs out unless it is renewed."""

    leader: str
    term: int
    left_ms: int


class State(NamedTuple):
    """What there was at ``now_ms``, by the Redis server's clock; ``nodes`` are in the order of their ids."""

    now_ms: int
    nodes: list[NodeState]
    lead: Lead | None
    assignment: StoredAssignment

    def weights(self) -> dict[str, float]:
        """Live node -> weight."""
        return {node.name: node.record.weight for node in self.nodes if node.state == "alive"}

    def node_of(self, symbol: Instrument) -> str | None:
        """The node that ``symbol`` is assigned to."""
        owner = self.assignment.owners.get(symbol)
        return owner and owner.node


def server_ms(client: Any) -> int:
    """The Redis server's time."""
    seconds, microseconds = client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def read_state(client: Any, settings: Settings) -> State:
    """Read it all.

    Raises:
        redis.exceptions.RedisError: Redis cannot be reached, or a key is not what it should be.
    """
    assignment = read_assignment(client)
    heartbeats = {name.decode(): int(score) for name, score in client.zrange(NODES, 0, -1, withscores=True)}
    lead = client.hmget(DISPATCHER, "leader", "term", "until")
    now_ms = server_ms(client)
    records = _records(client, sorted({*heartbeats, *(owner.node for owner in assignment.owners.values())}))
    connected = _connected(client, settings, [record.client_id for record in records])
    nodes = [_node(record, heartbeats, connected, assignment, now_ms, settings) for record in records]
    return State(now_ms, nodes, _lead(lead, now_ms), assignment)


def _records(client: Any, names: Sequence[str]) -> list[NodeRecord]:
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.hgetall(node_key(name))
    found = []
    for name, fields in zip(names, pipe.execute(), strict=True):
        record = parse_node(name, fields)
        if record is not None:
            found.append(record)
    return found


def _connected(client: Any, settings: Settings, client_ids: Sequence[int]) -> set[int] | None:
    """Which registration connections stand; ``None`` where Redis does not tell."""
    watched = sorted({*client_ids} - {0})
    if not watched or parse_cluster(settings.redis_url) is not None:
        return None
    try:
        return {int(one["id"]) for one in client.client_list(client_id=watched)}
    except redis.exceptions.ResponseError as error:
        if not not_offered(error):
            raise
        return None


def _node(
    record: NodeRecord,
    heartbeats: dict[str, int],
    connected: set[int] | None,
    assignment: StoredAssignment,
    now_ms: int,
    settings: Settings,
) -> NodeState:
    beat = heartbeats.get(record.owner.node)
    age = None if beat is None else max(0, now_ms - beat)
    if record.left:
        state = "left"
    elif connected is not None and record.client_id and record.client_id not in connected:
        state = "gone"
    elif age is None or age >= settings.nt_heartbeat_ttl_ms:
        state = "silent"
    else:
        state = "alive"
    return NodeState(record, state, age, _owned(assignment, record.owner))


def _owned(assignment: StoredAssignment, owner: Owner) -> tuple[str, ...]:
    return tuple(sorted(symbol for symbol, one in assignment.owners.items() if one == owner))


def _lead(found: Sequence[bytes | None], now_ms: int) -> Lead | None:
    leader, term, until = found
    if not leader or term is None or until is None or int(until) <= now_ms:
        return None
    return Lead(leader.decode(), int(term), int(until) - now_ms)
