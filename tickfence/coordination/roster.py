"""Which nodes are alive, judged from what Redis shows. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import NamedTuple

from tickfence.coordination.owner import Owner

_NONE = -1  # no client has this id; 0 stands for a registration that is not watched
_REMEMBERED = 100


class NodeReason(StrEnum):
    """What became of a node."""

    JOINED = "joined"
    LEFT = "left"  # in order, on SIGTERM
    DIED = "died"  # its connection vanished
    SILENT = "silent"  # no heartbeat


class NodeRecord(NamedTuple):
    """What a node registered about itself."""

    owner: Owner
    client_id: int
    weight: float = 1.0
    left: bool = False
    host: str = ""
    pid: int = 0
    started_at: int = 0
    metrics_url: str = ""

    @classmethod
    def from_hash(cls, node_id: str, fields: Mapping[str, str]) -> NodeRecord | None:
        """From the hash at ``nt:node:<id>``; ``None`` if there is none or it is not whole."""
        try:
            return cls(
                Owner(node_id, fields["incarnation"]),
                int(fields["client_id"]),
                float(fields["weight"]),
                "left" in fields,
                fields.get("host", ""),
                int(fields.get("pid", 0)),
                int(fields.get("started_at", 0)),
                fields.get("metrics_url", ""),
            )
        except (KeyError, ValueError):
            return None


class Roster:
    """Judges nodes by two signs: their heartbeat and their registration connection.

    - A heartbeat older than ``ttl_ms`` is death: the only sign of a frozen node or one cut off from Redis.
    - A registration connection that is gone is a hint: a killed process is noticed by it at once. It counts only
      if the node has not come back with a new connection within ``blink_ms``.
    - A node that left in order, or whose id another process has taken, is gone at once. One whose entry vanished
      without a word (Redis lost its data) is judged by what was last seen of it, so that it has time to register
      again.
    - While we could not look (:meth:`resume`), silence proves nothing: nodes that were alive before have ``ttl_ms``
      to be heard again. Time in which nobody looked, because Redis or we stood still or its clock was set, does not
      count at all.

    All times are the Redis server's, in ms.
    """

    def __init__(self, ttl_ms: int, blink_ms: int = 100) -> None:
        self.ttl_ms = ttl_ms
        self.blink_ms = blink_ms
        self._heartbeats: dict[str, int] = {}  # as shown
        self._heard: dict[str, int] = {}  # the same, as far as a clock that may be set can be believed
        self._records: dict[str, NodeRecord] = {}
        self._missing: dict[str, tuple[int, int]] = {}  # node id -> (client id, since when it is not connected)
        self._unproven: set[int] = set()  # client ids from before resume(), not seen connected since
        self._resumed = 0
        self._looked = 0
        self._gone: dict[Owner, NodeReason] = {}

    @property
    def gone(self) -> Mapping[Owner, NodeReason]:
        """By which sign each owner was judged to be gone, of the last hundred that were."""
        return self._gone

    @property
    def client_ids(self) -> list[int]:
        """Registration connections to look for."""
        return [record.client_id for record in self._records.values() if record.client_id]

    def resume(self, now_ms: int) -> None:
        """Tell that Redis can be reached again after a time in which it could not."""
        self._missing = {n: missing for n, missing in self._missing.items() if self._disconnected(n, self._looked)}
        self._leap(now_ms)
        self._resumed = now_ms
        self._unproven = set(self.client_ids)

    def news(self, heartbeats: Mapping[str, int]) -> list[str]:
        """Nodes whose record must be read: their heartbeat is not the one last seen, or their entry vanished."""
        known, shown = self._heartbeats, heartbeats
        return sorted(n for n in known.keys() | shown.keys() if known.get(n) != shown.get(n))

    def observe(
        self,
        now_ms: int,
        heartbeats: Mapping[str, int],
        records: Mapping[str, NodeRecord | None],
        connected: Collection[int] | None,
    ) -> dict[Owner, NodeRecord]:
        """Take in what Redis shows now; return the live nodes.

        Parameters:
            heartbeats: node id -> server ms, the whole of ``nt:nodes``.
            records: those of :meth:`news`.
            connected: which of :attr:`client_ids` are connected; ``None`` where Redis does not tell.
        """
        if self._looked and not 0 <= now_ms - self._looked < self.ttl_ms / 2:
            self._leap(now_ms)
        asked = set(self.client_ids)
        for node, record in records.items():
            if node in heartbeats:
                # It beat since we last looked, whatever its entry says.
                self._heard[node] = min(max(heartbeats[node], self._looked), now_ms)
            self._take(node, record, now_ms - heartbeats.get(node, 0) < self.ttl_ms, node in heartbeats)
        # A name that is neither listed nor known any more would be asked for at every look.
        self._heartbeats = {n: hb for n, hb in self._heartbeats.items() if n in self._records} | dict(heartbeats)
        self._heard = {n: heard for n, heard in self._heard.items() if n in self._heartbeats}
        self._looked = now_ms
        for node in list(self._records):
            silent = now_ms - max(self._heard[node], self._resumed)
            if silent >= self.ttl_ms or self._records[node].left:
                self._forget(node, heartbeats)
            elif connected is not None:
                self._look(node, now_ms, asked, connected)
        live = {}
        for node, record in self._records.items():
            if self._disconnected(node, now_ms):
                self._went(record.owner, NodeReason.DIED)
            else:
                live[record.owner] = record
                self._gone.pop(record.owner, None)
        return live

    def _take(self, node: str, record: NodeRecord | None, fresh: bool, listed: bool) -> None:
        known = self._records.get(node)
        if record is None or not (known or fresh):
            return
        if known and record.owner != known.owner:
            self._went(known.owner, NodeReason.LEFT if known.left else NodeReason.DIED)
        if known and not listed and record.owner != known.owner:
            record = known._replace(left=True)  # the id was taken over by a process that has not joined yet
        self._records[node] = record

    def _leap(self, now_ms: int) -> None:
        """Let the time since the last look not have passed."""
        leap = now_ms - self._looked
        self._heard = {node: heard + leap for node, heard in self._heard.items()}
        self._missing = {node: (client_id, since + leap) for node, (client_id, since) in self._missing.items()}
        self._resumed += leap
        self._looked = now_ms

    def _look(self, node: str, now_ms: int, asked: Collection[int], connected: Collection[int]) -> None:
        client_id = self._records[node].client_id
        if client_id not in asked:
            return  # registered since the question was put
        if client_id in connected:
            self._missing.pop(node, None)
            self._unproven.discard(client_id)
        elif client_id in self._unproven:
            return
        elif self._missing.get(node, (_NONE, 0))[0] != client_id:
            self._missing[node] = (client_id, now_ms)

    def _disconnected(self, node: str, now_ms: int) -> bool:
        client_id, since = self._missing.get(node, (_NONE, 0))
        return client_id == self._records[node].client_id and now_ms - since >= self.blink_ms

    def _forget(self, node: str, heartbeats: Mapping[str, int]) -> None:
        record = self._records.pop(node)
        self._went(record.owner, NodeReason.LEFT if record.left else NodeReason.SILENT)
        self._missing.pop(node, None)
        if node not in heartbeats:
            self._heartbeats.pop(node, None)
            self._heard.pop(node, None)

    def _went(self, owner: Owner, reason: NodeReason) -> None:
        self._gone.setdefault(owner, reason)
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]
