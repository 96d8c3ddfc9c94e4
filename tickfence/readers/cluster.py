"""The cluster's state as Redis shows it: nodes, the leading beat, the assignment, and what operators want.

The only place where readers read and judge it: :func:`cluster_query` says which commands to send and takes their
replies, without I/O; :func:`read_cluster` and :func:`fetch_cluster` send them.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

from tickfence.analytics.freshness import Idle
from tickfence.coordination.assignment_store import StoredAssignment, parse_assignment
from tickfence.coordination.desired import Desired, DesiredNode, NodeMode
from tickfence.coordination.leadership import LeaderRecord, parse_leader
from tickfence.coordination.membership import NodeRecord, NodeState, parse_node
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.readers.data_plane import Command, DataPlane, Unavailable, Unreadable, milliseconds
from tickfence.readers.symbols import all_symbols, idle_symbols, stored_desired
from tickfence.redis_access.address import parse_cluster
from tickfence.redis_access.errors import ResponseError, not_offered
from tickfence.settings import Settings

_LIVING = {NodeState.ALIVE, NodeState.CORDONED, NodeState.DRAINED, NodeState.STUCK}
_WORKING = {NodeState.ALIVE, NodeState.CORDONED}
_WANTED = {NodeMode.CORDONED: NodeState.CORDONED, NodeMode.DRAINED: NodeState.DRAINED}


class ClusterNode(NamedTuple):
    """One process start of a node.

    Attributes:
        record: What it registered.
        state: Whether it is alive, and if not, the reason; or why it gets no symbols, or no further ones.
        weight: Its share of the symbols relative to other nodes: what operators want, else what it registered.
        heartbeat_age_ms: Time since its last heartbeat; ``None`` if there is none.
        symbols: The symbols assigned to it, sorted.
    """

    record: NodeRecord
    state: NodeState
    heartbeat_age_ms: int | None
    symbols: tuple[Instrument, ...]
    weight: float

    @property
    def name(self) -> str:
        """Its node id."""
        return self.record.owner.node

    @property
    def alive(self) -> bool:
        """Whether its process is alive."""
        return self.state in _LIVING

    @property
    def works(self) -> bool:
        """Whether it may have symbols."""
        return self.state in _WORKING

    @property
    def keeps(self) -> bool:
        """Whether operators drain it and it still has symbols."""
        return self.state == NodeState.DRAINED and not self.record.drained and bool(self.symbols)


class Cluster(NamedTuple):
    """The state at one moment.

    Attributes:
        now_ms: That moment, by the Redis server's clock.
        nodes: Sorted by node id: those with a heartbeat, and those that own a symbol.
        leader: The beat that leads; ``None`` while none does.
        assignment: Which process owns which symbol.
        desired: What operators want; ``None`` if nothing is stored.
        idle: The symbols that nobody is to work on, and why.
    """

    now_ms: int
    nodes: list[ClusterNode]
    leader: LeaderRecord | None
    assignment: StoredAssignment
    desired: Desired | None
    idle: Mapping[Instrument, Idle]

    def eligible(self) -> dict[Owner, float]:
        """Return the weights of the nodes that may have symbols.

        While none may get any, as the leading beat decides it, also those that operators drain and that still have some.
        """
        to_none = all(node.state == NodeState.CORDONED for node in self.nodes if node.works)
        return {node.record.owner: node.weight for node in self.nodes if node.works or (to_none and node.keeps)}

    def cordoned(self) -> frozenset[Owner]:
        """Return those of them that get no further symbols."""
        return frozenset(node.record.owner for node in self.nodes if node.state == NodeState.CORDONED)

    def node_of(self, symbol: Instrument) -> str | None:
        """Return the node that ``symbol`` is assigned to."""
        owner = self.assignment.owners.get(symbol)
        return owner and owner.node

    def is_removed(self, symbol: str) -> bool:
        """Return whether operators have removed ``symbol``, whatever is still there of it."""
        return self.desired is not None and symbol in self.desired.removed

    def symbols(self, configured: Sequence[Instrument]) -> tuple[Instrument, ...]:
        """Return all symbols, in the order of ``configured`` (``SYMBOLS``), then in the alphabet's."""
        return all_symbols(self.desired, self.assignment.owners, configured)


class Query(NamedTuple):
    """Commands of one round trip.

    Attributes:
        commands: What to send.
        optional: Whether Redis may refuse them; each reply is ``None`` then.
    """

    commands: list[Command]
    optional: bool = False


Replies = tuple[int, list[Any]]
"""The server's time in ms, and one reply a command in redis-py's form."""


def cluster_query(keys: Keys, heartbeat_ttl_ms: int, *, connections: bool) -> Generator[Query | Cluster, Replies]:
    """Yield the queries, take their replies, and yield the state at the end.

    Args:
        keys: The deployment's.
        heartbeat_ttl_ms: Age of a heartbeat at which its node counts as silent.
        connections: Whether ``CLIENT LIST`` tells which connections stand; in a Redis Cluster one server cannot know.

    Raises:
        Unreadable: A key holds what tickfence did not write.
    """
    try:
        _, [scores, fields, wanted] = yield Query(
            [("ZRANGE", keys.nodes, 0, -1, "WITHSCORES"), ("HGETALL", keys.assignment), ("HGETALL", keys.desired)]
        )
        assignment, desired = parse_assignment(fields), stored_desired(wanted)
        owned: dict[Owner, list[Instrument]] = {}
        for symbol, owner in sorted(assignment.owners.items()):
            owned.setdefault(owner, []).append(symbol)
        heartbeats = {name.decode(errors="replace"): int(score) for name, score in scores}
        names = sorted({*heartbeats, *(owner.node for owner in owned)})
        hashes = [keys.dispatcher, *map(keys.node, names)]
        now_ms, [lead, *found] = yield Query([("HGETALL", key) for key in hashes])
        leader = parse_leader(lead)
        records = [record for name, fields in zip(names, found, strict=True) if (record := parse_node(name, fields))]
        client_ids = sorted({record.client_id for record in records} - {0})
        connected = None
        if connections and client_ids:
            _, [clients] = yield Query([("CLIENT LIST", "ID", *client_ids)], optional=True)
            connected = None if clients is None else {int(client["id"]) for client in clients}
        nodes = []
        for record in records:
            heartbeat = heartbeats.get(record.owner.node)
            age_ms = None if heartbeat is None else max(0, now_ms - heartbeat)
            state = record.state(
                heartbeat,
                ttl_ms=heartbeat_ttl_ms,
                now_ms=now_ms,
                connected=connected,
                stuck=record.owner in leader.verdicts.stuck,
            )
            wanted = DesiredNode() if desired is None else desired.node(record.owner.node)
            if state is NodeState.ALIVE:
                state = _WANTED.get(wanted.mode, state)
            weight = record.weight if wanted.weight is None else wanted.weight
            nodes.append(ClusterNode(record, state, age_ms, tuple(owned.get(record.owner, ())), weight))
        idle = idle_symbols(desired, leader.verdicts, now_ms)
        yield Cluster(now_ms, nodes, leader if leader.leads(now_ms) else None, assignment, desired, idle)
    except (ValueError, OverflowError) as error:
        raise Unreadable(
            f"one of {keys.nodes}, {keys.dispatcher}, {keys.assignment} holds what tickfence did not write: {error}"
        ) from error


def read_cluster(client: Any, settings: Settings) -> Cluster:
    """Read the state with a redis-py client.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or a key has another type.
        Unreadable: A key holds what tickfence did not write.
    """
    connections = parse_cluster(settings.redis_url) is None
    steps = cluster_query(settings.keys, settings.nt_heartbeat_ttl_ms, connections=connections)
    query = next(steps)
    while isinstance(query, Query):
        pipe = client.pipeline(transaction=False)
        for command in query.commands:
            pipe.execute_command(*command)
        try:
            replies = server_ms(client), pipe.execute()
        except ResponseError as error:
            if not (query.optional and not_offered(error)):
                raise
            replies = 0, [None]
        query = steps.send(replies)
    return query


async def fetch_cluster(plane: DataPlane, settings: Settings) -> Cluster:
    """Read the state with asyncio.

    Raises:
        Unavailable: Redis does not answer, or a key holds what tickfence did not write.
    """
    steps = cluster_query(settings.keys, settings.nt_heartbeat_ttl_ms, connections=plane.shows_connections)
    query = next(steps)
    while isinstance(query, Query):
        try:
            replies = await plane.read(query.commands)
        except Unavailable as error:
            if not (query.optional and not_offered(error.__cause__)):
                raise
            plane.shows_connections = False
            replies = 0, [None]
        query = steps.send(replies)
    return query


def server_ms(client: Any) -> int:
    """Return the Redis server's time in ms."""
    return milliseconds(client.time())
