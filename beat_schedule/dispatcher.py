"""The dispatcher's view of the system: whether it leads, which nodes are alive, who owns what."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from math import isfinite
from typing import Any, TypeVar

from beat_schedule.journal import AssignmentChange, Journal
from tickfence.coordination.assignment_store import Deposed, StoredAssignment, publish_assignment, read_assignment
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.controller import AssignmentController, Move, MovePolicy
from tickfence.coordination.leadership import Lead, Leadership
from tickfence.coordination.membership import GRACE_MS, Membership, NodeRecord, parse_node
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.monitoring import dispatcher_metrics as metrics
from tickfence.redis_access.address import parse_cluster
from tickfence.redis_access.command import Command, checked
from tickfence.redis_access.connect import connect
from tickfence.redis_access.errors import REDIS_ERRORS, NoScript, not_offered
from tickfence.redis_access.outage import Outage
from tickfence.redis_access.scripts import with_source
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

CLOCK_EVERY_S = 1.0
PURGE_EVERY_S = 60.0
PURGE_AFTER_MS = 600_000
"""The name of a node that was silent for this long is removed from ``nt:nodes``."""


class Dispatcher:
    """Polls Redis again and again, and keeps the assignment in step while it leads.

    A dispatcher that stands by polls just as often. So it knows the nodes already when it gets the lead.

    Args:
        settings: the process's settings.
        name: different for every process start.
        grace_ms: how long the connection of a node or of the leader may be missing.

    Attributes:
        clock: the Redis server's time.
        generation: the highest generation of the assignment that it has published or found.

    Example:
        >>> dispatcher = Dispatcher(settings, name="beat-1/5f0c9a1be2d43786")
        >>> moves = dispatcher.poll()
        >>> dispatcher.leading, dispatcher.owners, dispatcher.generation
    """

    def __init__(self, settings: Settings, name: str, grace_ms: int = GRACE_MS) -> None:
        self.settings = settings
        self.clock = ServerClock()
        self.generation = 0
        self._keys = settings.keys
        self._leadership = Leadership(self._keys, name, settings.nt_leader_ttl_ms, grace_ms)
        self._membership = Membership(settings.nt_heartbeat_ttl_ms, grace_ms)
        self._controller = AssignmentController(settings.symbols, MovePolicy.of(settings))
        self._journal = Journal(settings.redis_url, self._keys, name)
        self._live: dict[Owner, NodeRecord] = {}
        self._acting_term = 0  # the term for which the assignment is published; 0 if none is
        self._client: Any = None
        self._client_id = 0
        self._resuming = False
        # A cluster's connections end at several servers, so there only the heartbeats count.
        self._watch_connections = parse_cluster(settings.redis_url) is None
        self._outage = Outage("the data plane", logger)
        self._next_try = 0.0
        self._next_purge = 0.0

    @property
    def leading(self) -> bool:
        """Whether it leads, and its assignment is published."""
        return self._leadership.leading and self._acting_term == self._leadership.term

    @property
    def term(self) -> int:
        """The highest term seen."""
        return self._leadership.term

    @property
    def owners(self) -> Mapping[Instrument, Owner]:
        """Symbol -> owner, of the symbols whose owner is alive."""
        return {symbol: owner for symbol, owner in self._controller.owners.items() if owner in self._live}

    @property
    def nodes(self) -> Collection[Owner]:
        """The live nodes."""
        return self._live.keys()

    def poll(self) -> list[Move]:
        """Poll once; return the symbols that moved.

        Never raises because Redis cannot be reached: a later call tries again, after a short wait.
        """
        return self._call(self._poll) or []

    def read_clock(self) -> None:
        """Read the server's time, at most once a second. Without coordination nothing else is polled."""
        self._call(self._read_clock)

    def _call(self, action: Callable[[], _Answer]) -> _Answer | None:
        if time.monotonic() < self._next_try:
            return None
        try:
            if self._client is None:
                self._client = connect(self.settings.redis_url, name="nt:dispatcher")
            answer = action()
        except REDIS_ERRORS as error:
            # Also after an error reply: the new connection may lead to another server.
            self._disconnect()
            metrics.redis_errors.inc()
            self._next_try = time.monotonic() + self._outage.failed(error)
            return None
        self._outage.over()
        return answer

    def _read_clock(self) -> None:
        sent_at = time.monotonic()
        seconds, microseconds = self._client.time()
        self.clock.observe(sent_at, time.monotonic(), seconds * 1000 + microseconds / 1000)
        self._next_try = time.monotonic() + CLOCK_EVERY_S

    def close(self) -> None:
        """Resign, so that a stand-by leads at once."""
        if self._client is not None:
            try:
                self._leadership.resign(self._client)
            except REDIS_ERRORS as error:
                logger.warning("could not resign, the lead runs out by itself: %s", error)
            self._disconnect()
        self._journal.close()

    def _poll(self) -> list[Move]:
        lead, heartbeats, connected = self._read()
        if self._resuming:
            self._membership.resume(lead.server_ms)
            self._resuming = False
        records = self._read_records(self._membership.records_to_read(heartbeats))
        before = self._live
        self._live = self._membership.observe(lead.server_ms, heartbeats, records, connected)
        self._report_nodes(before)
        if not lead.leading:
            if self._acting_term:
                logger.warning("another dispatcher leads", extra={"term": lead.term})
            self._acting_term = 0
            return []
        try:
            return self._lead(lead)
        except Deposed as deposed:
            logger.warning("%s", deposed)
            self._acting_term = 0
            self._leadership.resign(self._client, deposed.newer)
            return []

    def _lead(self, lead: Lead) -> list[Move]:
        """Do a leader's work of one poll; return the symbols that moved."""
        self._journal.note_lead(lead)
        new_term = lead.term != self._acting_term
        dropped: dict[Instrument, Owner] = {}
        lost = False
        if new_term:
            dropped, lost = self._adopt(lead)
        first = not self._controller.owners
        moves = self._controller.step(lead.server_ms, {owner: node.weight for owner, node in self._live.items()})
        change = None
        if moves or new_term:
            self._acting_term = 0  # if publishing fails, the next poll starts again from what is published
            self.generation = publish_assignment(
                self._client, self._keys, lead.term, self.generation, self._controller.owners
            )
            self._acting_term = lead.term
            self._report_assignment(moves, new_term)
            change = AssignmentChange(self.generation, moves, dropped, first, lost)
        self._journal.note(lead.term, self._live.keys(), self._membership.departed, change)
        if time.monotonic() >= self._next_purge:
            self._client.zremrangebyscore(self._keys.nodes, 0, lead.server_ms - PURGE_AFTER_MS)
            self._next_purge = time.monotonic() + PURGE_EVERY_S
        return moves

    def _adopt(self, lead: Lead) -> tuple[dict[Instrument, Owner], bool]:
        """Start from the published assignment; return its symbols that are not ours, and whether data was lost."""
        try:
            stored = read_assignment(self._client, self._keys)
        except ValueError as error:
            logger.warning("%s is not readable and counts as lost: %s", self._keys.assignment, error)
            stored = StoredAssignment(term=0, generation=-1, owners={})  # older than any
        # If Redis came back without its last seconds, what it shows is older than what we published.
        older = stored.generation < self.generation
        self._controller.adopt(dict(self._controller.owners) if older else stored.owners, lead.server_ms)
        self.generation = max(self.generation, stored.generation)
        self._journal.note_adopted(stored.owners.values())
        dropped = {symbol: owner for symbol, owner in stored.owners.items() if symbol not in self.settings.symbols}
        return dropped, older or self._journal.lost_data

    def _read(self) -> tuple[Lead, dict[str, int], set[int] | None]:
        """One round trip: the lead, all heartbeats, and which registration connections stand."""
        watched = {*self._membership.client_ids, self._leadership.leader_client_id} - {0}
        poll = self._leadership.poll(self._client_id)
        sent_at = time.monotonic()
        replies = self._send_poll(poll, watched)
        if isinstance(replies[0], NoScript):  # a restarted Redis has forgotten the script
            replies = self._send_poll(with_source(poll), watched)
        led, scores = map(checked, replies[:2])
        lead = self._leadership.handle_reply(led, sent_at)
        self.clock.observe(sent_at, time.monotonic(), lead.server_ms)
        heartbeats = {node.decode(errors="replace"): int(score) for node, score in scores if isfinite(score)}
        return lead, heartbeats, self._connected(lead, watched, *replies[2:])

    def _send_poll(self, poll: Command, watched: set[int]) -> list[Any]:
        pipe = self._client.pipeline(transaction=False)
        pipe.execute_command(*poll)
        pipe.zrange(self._keys.nodes, 0, -1, withscores=True)
        if self._watch_connections:
            pipe.client_id()  # the pool may have opened a new connection since
            if watched:
                pipe.client_list(client_id=sorted(watched))
        return list(pipe.execute(raise_on_error=False))

    def _connected(self, lead: Lead, watched: set[int], own_id: Any = 0, clients: Any = ()) -> set[int] | None:
        """Which of the watched connections stand; ``None`` where Redis does not tell."""
        if not self._watch_connections:
            return None
        for reply in (own_id, clients):
            if not_offered(reply):
                logger.warning("no CLIENT LIST here, so a killed node is noticed by its silence only: %s", reply)
                self._watch_connections, self._client_id = False, 0
                return None
        self._client_id = int(checked(own_id))
        connected = {int(client["id"]) for client in checked(clients)}
        if lead.client_id in watched:
            self._leadership.note_leader_connected(lead.client_id in connected)
        return connected

    def _read_records(self, nodes: list[str]) -> dict[str, NodeRecord | None]:
        if not nodes:
            return {}
        pipe = self._client.pipeline(transaction=False)
        for node in nodes:
            pipe.hgetall(self._keys.node(node))
        return {node: parse_node(node, found) for node, found in zip(nodes, pipe.execute(), strict=True)}

    def _report_nodes(self, before: Mapping[Owner, NodeRecord]) -> None:
        for owner in self._live.keys() - before.keys():
            logger.info("node is alive", extra={"node": owner.node, "incarnation": owner.incarnation})
        for owner in before.keys() - self._live.keys():
            where = {"node": owner.node, "incarnation": owner.incarnation}
            logger.warning("node is gone", extra=where | {"reason": self._membership.departed.get(owner)})
        metrics.nodes_alive.set(len(self._live))
        metrics.term.set(self._leadership.term)

    def _report_assignment(self, moves: list[Move], new_term: bool) -> None:
        if new_term:
            logger.info("leading", extra={"term": self.term, "generation": self.generation})
        if moves:
            metrics.hrw_rebalances.inc()
        for move in moves:
            metrics.symbol_moves.labels(move.reason).inc()
            logger.info(
                "symbol moved",
                extra={
                    "symbol": move.symbol,
                    "source": move.source and move.source.node,
                    "node": move.target.node,
                    "reason": move.reason,
                    "generation": self.generation,
                },
            )

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        self._resuming = True
