"""Which nodes are alive, judged from what Redis shows. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from math import inf
from typing import NamedTuple

from tickfence.coordination.owner import Owner

_NO_CLIENT = -1  # no client has this id; 0 stands for a registration whose connection is not watched
_REMEMBERED = 100

GRACE_MS = 100
"""How long a registration connection may be missing before its node counts as dead."""
AHEAD_MS = 60_000
"""A heartbeat that is further ahead of now than this came while the server's clock was wrong, and is no sign of life."""


class NodeReason(StrEnum):
    """Why a node joined or left the live nodes."""

    JOINED = "joined"
    LEFT = "left"  # in order, on SIGTERM
    DIED = "died"  # its connection vanished
    SILENT = "silent"  # no heartbeat
    STUCK = "stuck"  # alive, but takes no messages
    DRAINED = "drained"  # alive, and gets no symbols because an operator wants it so


class NodeState(StrEnum):
    """The state of a node at one moment, as a reader shows it."""

    ALIVE = "alive"
    LEFT = "left"  # in order
    GONE = "gone"  # its registration connection is closed
    SILENT = "silent"  # no heartbeat within the TTL
    STUCK = "stuck"  # alive, but takes no messages
    DRAINED = "drained"  # alive, and gets no symbols because an operator wants it so
    CORDONED = "cordoned"  # alive, and gets no further symbols because an operator wants it so


class NodeRecord(NamedTuple):
    """What a node registered about itself.

    Attributes:
        owner: node id and incarnation.
        client_id: its registration connection in ``CLIENT LIST``; 0 where Redis does not tell.
        weight: its share of the symbols relative to other nodes.
        left: whether it left in order.
        host: its host's name.
        pid: its process id.
        started_at: server ms of its start.
        metrics_url: where Prometheus scrapes it; empty if nowhere.
        progress: rises with every symbol and message that its main thread has worked on; ``None`` if it does not tell,
            like a node of an older version.
        working: the symbol that its main thread works on; empty while it works on none.
        probe: id of the last probe message that its main thread has taken; empty before the first.
        drained: whether it takes no messages, because its consumer was cancelled.
        shards: whether it knows shards of dispatch; a node of an older version does not.
        client_of: on a Redis Cluster, the address of the server that gave ``client_id``; else empty.
    """

    owner: Owner
    client_id: int
    weight: float = 1.0
    left: bool = False
    host: str = ""
    pid: int = 0
    started_at: int = 0
    metrics_url: str = ""
    progress: int | None = None
    working: str = ""
    probe: str = ""
    drained: bool = False
    shards: bool = False
    client_of: str = ""

    def state(
        self,
        heartbeat_ms: int | None,
        *,
        ttl_ms: int,
        now_ms: int,
        connected: Collection[int] | None = None,
        stuck: bool = False,
    ) -> NodeState:
        """The node's state at one moment.

        Args:
            heartbeat_ms: its last heartbeat in server ms; ``None`` if it is not in ``nt:nodes``.
            ttl_ms: ``NT_HEARTBEAT_TTL_MS``.
            now_ms: the server's time.
            connected: client ids that ``CLIENT LIST`` shows; ``None`` where Redis does not tell.
            stuck: whether the leader has found it to be stuck.
        """
        if self.left:
            return NodeState.LEFT
        if connected is not None and self.client_id and self.client_id not in connected:
            return NodeState.GONE
        if heartbeat_ms is None or not is_alive(heartbeat_ms, ttl_ms=ttl_ms, now_ms=now_ms):
            return NodeState.SILENT
        if heartbeat_ms - now_ms > AHEAD_MS:
            return NodeState.SILENT
        if stuck:
            return NodeState.STUCK
        return NodeState.DRAINED if self.drained else NodeState.ALIVE


def is_alive(heartbeat_ms: int, *, ttl_ms: int, now_ms: int) -> bool:
    """Whether a node whose last heartbeat was at ``heartbeat_ms`` is alive at ``now_ms`` (both server ms)."""
    return now_ms - heartbeat_ms < ttl_ms


def parse_node(node_id: str, found: Mapping[bytes, bytes]) -> NodeRecord | None:
    """The record of one node, from the reply to ``HGETALL nt:node:<id>``.

    Returns:
        The record, or ``None`` if there is none, it is incomplete, or a field is not what a node writes.
    """
    try:
        fields = {name.decode(): value.decode() for name, value in found.items()}
        # Beside the fields of a process of this version, an older one that has taken its id leaves its status standing.
        status = fields if fields.get("status_of") == fields["incarnation"] else {}
        record = NodeRecord(
            Owner(node_id, fields["incarnation"]),
            int(fields["client_id"]),
            float(fields["weight"]),
            "left" in fields,
            fields.get("host", ""),
            int(fields.get("pid", 0)),
            int(fields.get("started_at", 0)),
            fields.get("metrics_url", ""),
            int(status["progress"]) if "progress" in status else None,
            status.get("working", ""),
            status.get("probe", ""),
            bool(status.get("drained")),
            "shards" in status,
            fields.get("client_of", ""),
        )
    except (KeyError, ValueError):
        return None
    return record if 0 < record.weight < inf and 0 <= record.client_id < 2**63 else None


class Membership:
    """The live nodes, judged by two signs: the heartbeat and the registration connection.

    - A heartbeat older than ``ttl_ms`` is death. It is the only sign of a node that is frozen or cut off from Redis.
    - A registration connection that is closed is a hint: it shows a killed process at once. It counts only if the
      node has not come back with a new connection within ``grace_ms``.
    - A node that left in order, or whose id another process has taken, is gone at once. If its entry vanished
      without that (Redis lost its data), it has ``ttl_ms`` from its last heartbeat to register again.
    - While Redis could not be reached (:meth:`resume`), silence proves nothing: nodes that were alive before have
      another ``ttl_ms``. Time in which nobody observed, because Redis or this process stood still or the server's
      clock was set, does not count at all.

    All times are the Redis server's, in ms.

    Args:
        ttl_ms: ``NT_HEARTBEAT_TTL_MS``.
        grace_ms: how long a registration connection may be missing.
    """

    def __init__(self, ttl_ms: int, grace_ms: int = GRACE_MS) -> None:
        self.ttl_ms = ttl_ms
        self.grace_ms = grace_ms
        self._shown: dict[str, int] = {}  # heartbeats, as Redis shows them
        self._heard: dict[str, int] = {}  # the same, corrected for a server clock that was set
        self._records: dict[str, NodeRecord] = {}
        self._missing: dict[str, tuple[int, int]] = {}  # node id -> (client id, since when it is not connected)
        self._unconfirmed: set[int] = set()  # client ids from before resume(), not seen connected since
        self._resumed_at = 0
        self._observed_at = 0
        self._departed: dict[Owner, NodeReason] = {}

    @property
    def departed(self) -> Mapping[Owner, NodeReason]:
        """Why each of the last 100 owners that are gone was judged so."""
        return self._departed

    @property
    def missing(self) -> bool:
        """Whether a registration connection was not there when it was last looked for."""
        return bool(self._missing)

    @property
    def client_ids(self) -> list[int]:
        """Registration connections to look up in ``CLIENT LIST``."""
        return [record.client_id for record in self._records.values() if record.client_id]

    def resume(self, now_ms: int) -> None:
        """Note that Redis can be reached again after a time in which it could not."""
        self._missing = {
            node: missing for node, missing in self._missing.items() if self._is_disconnected(node, self._observed_at)
        }
        self._discount_time_until(now_ms)
        self._resumed_at = now_ms
        self._unconfirmed = set(self.client_ids)

    def records_to_read(self, heartbeats: Mapping[str, int]) -> list[str]:
        """Nodes whose heartbeat changed or whose entry vanished since the last :meth:`observe`."""
        names = self._shown.keys() | heartbeats.keys()
        return sorted(name for name in names if self._shown.get(name) != heartbeats.get(name))

    def observe(
        self,
        now_ms: int,
        heartbeats: Mapping[str, int],
        records: Mapping[str, NodeRecord | None],
        connected: Collection[int] | None,
    ) -> dict[Owner, NodeRecord]:
        """Process what Redis shows now and return the live nodes.

        Args:
            now_ms: the server's time.
            heartbeats: node id -> server ms, all of ``nt:nodes``.
            records: the records of :meth:`records_to_read`.
            connected: which of :attr:`client_ids` are connected; ``None`` where Redis does not tell.
        """
        if self._observed_at and not 0 <= now_ms - self._observed_at < self.ttl_ms / 2:
            self._discount_time_until(now_ms)
        watched = set(self.client_ids)
        for node, record in records.items():
            if node in heartbeats:
                # The entry changed, so the node is alive, even if a set clock makes the new time look old.
                self._heard[node] = min(max(heartbeats[node], self._observed_at), now_ms)
            fresh = is_alive(heartbeats.get(node, 0), ttl_ms=self.ttl_ms, now_ms=now_ms)
            self._update_record(node, record, fresh=fresh, listed=node in heartbeats)
        # Names that are neither listed nor known are dropped, or records_to_read would return them for ever.
        self._shown = {n: at for n, at in self._shown.items() if n in self._records} | dict(heartbeats)
        self._heard = {n: at for n, at in self._heard.items() if n in self._shown}
        self._observed_at = now_ms
        for node, record in list(self._records.items()):
            last_sign = max(self._heard[node], self._resumed_at)
            if record.left or not is_alive(last_sign, ttl_ms=self.ttl_ms, now_ms=now_ms):
                self._remove(node, heartbeats)
            elif connected is not None:
                self._check_connection(node, now_ms, watched, connected)
        live = {}
        for node, record in self._records.items():
            if self._is_disconnected(node, now_ms):
                self._note_departure(record.owner, NodeReason.DIED)
            else:
                live[record.owner] = record
                self._departed.pop(record.owner, None)
        return live

    def _update_record(self, node: str, record: NodeRecord | None, *, fresh: bool, listed: bool) -> None:
        known = self._records.get(node)
        if record is None or not (known or fresh):
            return
        if known and record.owner != known.owner:
            self._note_departure(known.owner, NodeReason.LEFT if known.left else NodeReason.DIED)
        if known and not listed and record.owner != known.owner:
            record = known._replace(left=True)  # the id was taken by a process that has not joined yet
        self._records[node] = record

    def _discount_time_until(self, now_ms: int) -> None:
        """Shift all times so that the time since the last observation does not count."""
        gap = now_ms - self._observed_at
        self._heard = {node: at + gap for node, at in self._heard.items()}
        self._missing = {node: (client_id, since + gap) for node, (client_id, since) in self._missing.items()}
        self._resumed_at += gap
        self._observed_at = now_ms

    def _check_connection(self, node: str, now_ms: int, watched: Collection[int], connected: Collection[int]) -> None:
        client_id = self._records[node].client_id
        if client_id not in watched:
            return  # registered after CLIENT LIST was sent
        if client_id in connected:
            self._missing.pop(node, None)
            self._unconfirmed.discard(client_id)
        elif client_id in self._unconfirmed:
            return
        elif self._missing.get(node, (_NO_CLIENT, 0))[0] != client_id:
            self._missing[node] = (client_id, now_ms)

    def _is_disconnected(self, node: str, now_ms: int) -> bool:
        client_id, since = self._missing.get(node, (_NO_CLIENT, 0))
        return client_id == self._records[node].client_id and now_ms - since >= self.grace_ms

    def _remove(self, node: str, heartbeats: Mapping[str, int]) -> None:
        record = self._records.pop(node)
        self._note_departure(record.owner, NodeReason.LEFT if record.left else NodeReason.SILENT)
        self._missing.pop(node, None)
        if node not in heartbeats:
            self._shown.pop(node, None)
            self._heard.pop(node, None)

    def _note_departure(self, owner: Owner, reason: NodeReason) -> None:
        self._departed.setdefault(owner, reason)
        if len(self._departed) > _REMEMBERED:
            del self._departed[next(iter(self._departed))]
