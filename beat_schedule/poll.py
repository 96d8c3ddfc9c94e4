"""One poll of a dispatcher: what Redis shows of the lead and of the nodes, in one round trip."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from math import isfinite
from typing import Any, NamedTuple, TypeVar

from tickfence.coordination.clock import ServerClock
from tickfence.coordination.desired_store import parse_version, version_command
from tickfence.coordination.leadership import BeatRecord, Lead, Leadership
from tickfence.coordination.membership import GRACE_MS, Membership, NodeRecord, parse_node
from tickfence.coordination.owner import Owner
from tickfence.monitoring import dispatcher_metrics as metrics
from tickfence.redis_access.command import Command, checked
from tickfence.redis_access.connect import connect, is_cluster
from tickfence.redis_access.errors import REDIS_ERRORS, NoScript, not_offered
from tickfence.redis_access.outage import Outage
from tickfence.redis_access.scripts import with_source
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

CLOCK_EVERY_S = 1.0
CLIENT_ID = re.compile(rb"^id=(\d+) ", re.MULTILINE)
"""In a line of ``CLIENT LIST``."""


class Poll(NamedTuple):
    """What one poll found.

    Attributes:
        lead: who leads.
        live: the live nodes, with what they registered.
        heard: those whose heartbeat has come since the poll before.
        beats: the dispatchers that live, if we lead and shards are to be shared.
        generation: of the published assignment; 0 if there is none, -1 if it cannot be read.
        desired: version of the stored desired state; 0 if none is stored, -1 if it cannot be read.
        resumed: whether Redis could not be reached for a while before this poll.
    """

    lead: Lead
    live: Mapping[Owner, NodeRecord]
    heard: Collection[Owner]
    beats: Collection[str]
    generation: int
    desired: int
    resumed: bool


class _Shown(NamedTuple):
    """What Redis shows in one round trip; ``connected`` is ``None`` where it does not tell."""

    lead: Lead
    heartbeats: Mapping[str, int]
    desired: int
    generation: int
    connected: Collection[int] | None


class Poller:
    """A dispatcher's connection to the data plane: it keeps or tries to get the lead, and watches the nodes.

    Args:
        settings: the process's settings.
        name: different for every process start.
        grace_ms: how long the connection of a node or of the leader may be missing.

    Attributes:
        clock: the Redis server's time.
        leadership: this dispatcher's candidacy.
        membership: which nodes are alive.
    """

    def __init__(self, settings: Settings, name: str, grace_ms: int = GRACE_MS) -> None:
        self.settings = settings
        self.clock = ServerClock()
        self.leadership = Leadership(settings.keys, name, settings.nt_leader_ttl_ms, grace_ms)
        self.membership = Membership(settings.nt_heartbeat_ttl_ms, grace_ms)
        self._beats = Membership(settings.nt_leader_ttl_ms, grace_ms)
        self._keys = settings.keys
        self._client: Any = None
        self._client_id = 0
        self._resuming = False
        self._watch_connections = True
        self._asked: Any = None  # on a cluster, the master of the live nodes
        self._outage = Outage("the data plane", logger)
        self._next_try = 0.0

    @property
    def connected(self) -> bool:
        """Whether it has a connection: the next call looks for no server."""
        return self._client is not None

    def call(self, action: Callable[[Any], _Answer]) -> _Answer | None:
        """Do something with the data plane.

        Args:
            action: gets a client.

        Returns:
            What ``action`` returns, or ``None`` if Redis cannot be reached or could not a moment ago.
        """
        if time.monotonic() < self._next_try:
            return None
        try:
            if self._client is None:
                self._client = connect(self.settings.redis_url, name="nt:dispatcher")
            answer = action(self._client)
        except REDIS_ERRORS as error:
            # Also after an error reply: the new connection may lead to another server.
            self._disconnect()
            metrics.redis_errors.inc()
            self._next_try = time.monotonic() + self._outage.failed(error)
            return None
        self._outage.over()
        return answer

    def read_clock(self) -> int:
        """Read the server's time, within :meth:`call`, which does nothing then for a second.

        Returns:
            The version of the desired state, as :attr:`Poll.desired`.

        Raises:
            redis.exceptions.RedisError, redis.exceptions.RedisClusterException: Redis cannot be reached.
        """
        pipe = self._client.pipeline(transaction=False)
        pipe.time()
        pipe.execute_command(*version_command(self._keys))
        sent_at = time.monotonic()
        clock, desired = pipe.execute(raise_on_error=False)
        seconds, microseconds = checked(clock)
        self.clock.observe(sent_at, time.monotonic(), seconds * 1000 + microseconds / 1000)
        self._next_try = time.monotonic() + CLOCK_EVERY_S
        return parse_version(desired)

    def read(self, *, can_send: bool) -> Poll:
        """Poll once, within :meth:`call`.

        Args:
            can_send: whether this dispatcher has reached the broker since the last poll.

        Raises:
            redis.exceptions.RedisError, redis.exceptions.RedisClusterException: Redis cannot be reached.
        """
        shown = self._read(can_send=can_send)
        lead, connected = shown.lead, shown.connected
        resumed, self._resuming = self._resuming, False
        if resumed:
            self.membership.resume(lead.server_ms)
            self._beats.resume(lead.server_ms)
        records = self._read_records(self.membership.records_to_read(shown.heartbeats))
        live = self.membership.observe(lead.server_ms, shown.heartbeats, records, connected)
        heard = [record.owner for record in records.values() if record is not None and record.owner in live]
        beats = self._live_beats(lead, connected) if lead.leading and self.settings.nt_dispatch_shards > 1 else ()
        return Poll(lead, live, heard, beats, shown.generation, shown.desired, resumed)

    def _live_beats(self, lead: Lead, connected: Collection[int] | None) -> Collection[str]:
        """The names of the dispatchers that live, judged as nodes are."""
        if lead.reason is not None:  # what was seen in an earlier lead is no sign of life
            self._beats = Membership(self.leadership.ttl_ms, self.leadership.grace_ms)
        heard = {name: beat.heard_ms for name, beat in lead.beats.items()}
        gone = BeatRecord(0, 0, 0)
        records = {
            name: NodeRecord(Owner(name, ""), lead.beats.get(name, gone).client_id, left=name not in heard)
            for name in self._beats.records_to_read(heard)
        }
        return [beat.node for beat in self._beats.observe(lead.server_ms, heard, records, connected)]

    def pause(self, seconds: float) -> None:
        """Make no call for a while."""
        self._next_try = time.monotonic() + seconds

    def close(self) -> None:
        """Resign, so that a stand-by leads at once."""
        if self._client is not None:
            try:
                self.leadership.resign(self._client)
            except REDIS_ERRORS as error:
                logger.warning("could not resign, the lead runs out by itself: %s", error)
            self._disconnect()

    def _read(self, *, can_send: bool) -> _Shown:
        """One round trip: the lead, all heartbeats, what else has changed, and which registration connections stand."""
        if is_cluster(self._client):
            asked = self._client.get_node_from_key(self._keys.nodes)
            if asked != self._asked:
                self._resuming |= self._asked is not None
                self._asked = asked
        watched = {*self.membership.client_ids, *self._beats.client_ids, self.leadership.leader_client_id} - {0}
        poll = self.leadership.poll(self._client_id, can_send=can_send)
        sent_at = time.monotonic()
        replies = self._send_poll(poll, watched)
        if isinstance(replies[0], NoScript):  # a restarted Redis has forgotten the script
            replies = self._send_poll(with_source(poll), watched)
        led, scores = map(checked, replies[:2])
        lead = self.leadership.handle_reply(led, sent_at)
        self.clock.observe(sent_at, time.monotonic(), lead.server_ms)
        heartbeats = {node.decode(errors="replace"): int(score) for node, score in scores if isfinite(score)}
        generation = _generation(replies[3])
        connected = self._connected(lead, watched, *replies[4:])
        return _Shown(lead, heartbeats, parse_version(replies[2]), generation, connected)

    def _send_poll(self, poll: Command, watched: set[int]) -> list[Any]:
        pipe = self._client.pipeline(transaction=False)
        pipe.execute_command(*poll)
        pipe.zrange(self._keys.nodes, 0, -1, withscores=True)
        pipe.execute_command(*version_command(self._keys))
        pipe.hget(self._keys.assignment, "generation")
        if self._watch_connections:
            # On a cluster, nodes and beats are connected to the master of the live nodes, and it is asked.
            at = {"target_nodes": self._asked} if self._asked else {}
            pipe.execute_command("CLIENT ID", **at)  # the pool may have opened a new connection since
            if watched:
                # Raw: redis-py would parse each field.
                pipe.execute_command("CLIENT", "LIST", "ID", *sorted(watched), **at)
        return list(pipe.execute(raise_on_error=False))

    def _connected(self, lead: Lead, watched: set[int], own_id: Any = 0, clients: Any = b"") -> set[int] | None:
        """Which of the watched connections stand; ``None`` where Redis does not tell."""
        if not self._watch_connections:
            return None
        for reply in (own_id, clients):
            if not_offered(reply):
                logger.warning("no CLIENT LIST here, so a killed node is noticed by its silence only: %s", reply)
                self._watch_connections, self._client_id = False, 0
                return None
        self._client_id = int(checked(own_id))
        connected = {int(number) for number in CLIENT_ID.findall(checked(clients))}
        if lead.client_id in watched:
            self.leadership.note_leader_connected(lead.client_id in connected)
        return connected

    def _read_records(self, nodes: list[str]) -> dict[str, NodeRecord | None]:
        if not nodes:
            return {}
        pipe = self._client.pipeline(transaction=False)
        for node in nodes:
            pipe.hgetall(self._keys.node(node))
        records = {node: parse_node(node, found) for node, found in zip(nodes, pipe.execute(), strict=True)}
        asked = self._asked.name if self._asked else ""
        return {  # another server's numbers say nothing here
            node: record if record is None or record.client_of == asked else record._replace(client_id=0)
            for node, record in records.items()
        }

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        self._resuming = True


def _generation(reply: Any) -> int:
    if reply is None:
        return 0
    return int(reply) if isinstance(reply, bytes) and reply.isdigit() else -1
