"""The dispatcher's view of the system: does it lead, who is alive, who owns what."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from beat_schedule.chronicle import Change, Chronicle, Seen
from tickfence.coordination.assignment_store import Deposed, publish_assignment, read_assignment
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.controller import AssignmentController, Move, MovePolicy
from tickfence.coordination.leadership import Lead, LeaderReason, Leadership
from tickfence.coordination.membership import Membership, NodeRecord, parse_node
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.monitoring import dispatcher_metrics as metrics
from tickfence.redis_access.address import parse_cluster
from tickfence.redis_access.connect import connect
from tickfence.redis_access.errors import UNAVAILABLE, not_offered
from tickfence.redis_access.outage import Outage
from tickfence.redis_access.scripts import execute
from tickfence.settings import Settings
from tickfence.timeline.writer import EventWriter

logger = logging.getLogger(__name__)

_Found = TypeVar("_Found")

_PURGE_AFTER_MS = 600_000  # names of nodes that have been silent for this long are forgotten


class Dispatcher:
    """Looks at Redis again and again, and keeps the assignment in step while it leads.

    A dispatcher that stands by looks just as often: it knows the nodes already when it takes over.

    Example:
        >>> dispatcher = Dispatcher(settings, name="beat@host/5f0c9a1be2d43786")
        >>> moves = dispatcher.look()
        >>> dispatcher.leading, dispatcher.owners, dispatcher.generation
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings = settings
        self.clock = ServerClock()
        self.generation = 0
        self._leadership = Leadership(settings.keys, name, settings.nt_leader_ttl_ms)
        self._membership = Membership(settings.nt_heartbeat_ttl_ms)
        self._controller = AssignmentController(settings.symbols, _policy(settings))
        self._live: dict[Owner, NodeRecord] = {}
        self._acting_term = 0
        self._won: Lead | None = None  # the poll that brought the lead
        self._adopted: frozenset[Owner] = frozenset()
        self._told: frozenset[Owner] = frozenset()
        self._events: EventWriter[Seen] = EventWriter(
            settings.redis_url, "nt:events", Chronicle(name, settings.keys).write, metrics.event_errors.inc
        )
        self._client: Any = None
        self._client_id = 0
        self._resuming = False
        # A cluster's connections end at several servers, so there the heartbeats alone must do.
        self._watch_connections = parse_cluster(settings.redis_url) is None
        self._outage = Outage("the data plane", logger)
        self._next_try = 0.0
        self._purged = 0.0

    @property
    def leading(self) -> bool:
        return self._leadership.leading and self._acting_term == self._leadership.term

    @property
    def term(self) -> int:
        return self._leadership.term

    @property
    def owners(self) -> Mapping[Instrument, Owner]:
        """symbol -> owner, of symbols whose owner is alive."""
        return {symbol: owner for symbol, owner in self._controller.owners.items() if owner in self._live}

    @property
    def nodes(self) -> Collection[Owner]:
        """Those that are alive."""
        return self._live.keys()

    def look(self) -> list[Move]:
        """Look once; return the symbols that moved. Never raises for a Redis that cannot be reached: it waits
        a little and tries again on a later call."""
        return self._reach(self._look) or []

    def read_clock(self) -> None:
        """Learn the server's time and nothing else: all there is to look at where coordination is off."""
        self._reach(self._read_clock)

    def _reach(self, look: Callable[[], _Found]) -> _Found | None:
        if time.monotonic() < self._next_try:
            return None
        try:
            if self._client is None:
                self._connect()
            found = look()
        except UNAVAILABLE as error:
            # Also after an answer that makes no sense: a new connection starts from known ground.
            self._disconnect()
            metrics.redis_errors.inc()
            self._next_try = time.monotonic() + self._outage.failed(error)
            return None
        self._outage.over()
        return found

    def _read_clock(self) -> None:
        asked_at = time.monotonic()
        seconds, microseconds = self._client.time()
        self.clock.observe(asked_at, time.monotonic(), seconds * 1000 + microseconds / 1000)
        self._next_try = time.monotonic() + 1

    def close(self) -> None:
        """Resign, so that a stand-by leads at once."""
        if self._client is not None:
            try:
                self._leadership.resign(self._client)
            except UNAVAILABLE as error:
                logger.warning("could not resign, the lead runs out by itself: %s", error)
            self._disconnect()
        self._events.close()

    def _look(self) -> list[Move]:
        lead, heartbeats, connected = self._read()
        if self._resuming:
            self._membership.resume(lead.server_ms)
            self._resuming = False
        news = self._membership.records_to_read(heartbeats)
        before = self._live
        self._live = self._membership.observe(lead.server_ms, heartbeats, self._records(news), connected)
        self._tell(before)
        if not lead.leading:
            if self._acting_term:
                logger.warning("another dispatcher leads", extra={"term": lead.term})
            self._acting_term = 0
            return []
        try:
            return self._act(lead)
        except Deposed as deposed:
            logger.warning("%s", deposed)
            self._acting_term = 0
            self._leadership.resign(self._client, deposed.newer)
            return []

    def _act(self, lead: Lead) -> list[Move]:
        took_over = lead.term != self._acting_term
        dropped: dict[Instrument, Owner] = {}
        lost, change = False, None
        if lead.reason is not None:
            self._won = lead
        if took_over:
            stored = read_assignment(self._client, self.settings.keys)
            # What Redis shows may be older than what we published, if it came back without its last seconds.
            older = stored.generation < self.generation
            self._controller.adopt(dict(self._controller.owners) if older else stored.owners, lead.server_ms)
            self.generation = max(self.generation, stored.generation)
            self._adopted = frozenset(stored.owners.values())
            dropped = {symbol: owner for symbol, owner in stored.owners.items() if symbol not in self.settings.symbols}
            lost = older or (self._won is not None and self._won.lost)
        first = not self._controller.owners
        moves = self._controller.step(lead.server_ms, {o: r.weight for o, r in self._live.items()})
        if moves or took_over:
            self._acting_term = 0  # if this fails, start again from what is published
            self.generation = publish_assignment(
                self._client, self.settings.keys, lead.term, self.generation, self._controller.owners
            )
            self._acting_term = lead.term
            self._count(moves, took_over)
            change = Change(self.generation, moves, dropped, first, lost)
        if change is not None or self._live.keys() != self._told:
            self._told = frozenset(self._live)
            reason = (self._won and self._won.reason) or LeaderReason.RENEWED
            gone = dict(self._membership.departed)
            self._events.put(Seen(lead.term, reason, self._told, gone, self._adopted, change))
        if time.monotonic() - self._purged > 60:
            self._client.zremrangebyscore(self.settings.keys.nodes, 0, lead.server_ms - _PURGE_AFTER_MS)
            self._purged = time.monotonic()
        return moves

    def _read(self) -> tuple[Lead, dict[str, int], set[int] | None]:
        """One round trip: the lead, all heartbeats, and which registration connections still stand."""
        watched = {*self._membership.client_ids, self._leadership.leader_client_id} - {0}
        pipe = self._client.pipeline(transaction=False)
        self._leadership.queue_poll(pipe, self._client_id)
        pipe.zrange(self.settings.keys.nodes, 0, -1, withscores=True)
        if self._watch_connections:
            pipe.client_id()  # the pool may have opened a new connection since
            if watched:
                pipe.client_list(client_id=sorted(watched))
        asked_at = time.monotonic()
        replies = execute(pipe, raise_errors=False)
        for reply in replies[:2]:
            if isinstance(reply, Exception):
                raise reply
        lead = self._leadership.handle_reply(replies[0], asked_at)
        self.clock.observe(asked_at, time.monotonic(), lead.server_ms)
        heartbeats = {node.decode(): int(score) for node, score in replies[1]}
        return lead, heartbeats, self._connected(lead, watched, *replies[2:])

    def _connected(self, lead: Lead, watched: set[int], own_id: Any = 0, clients: Any = ()) -> set[int] | None:
        """Which of the watched connections still stand; ``None`` where Redis does not tell."""
        if not self._watch_connections:
            return None
        for reply in (own_id, clients):
            if not_offered(reply):
                logger.warning("no CLIENT LIST here, so a killed node is noticed by its silence only: %s", reply)
                self._watch_connections, self._client_id = False, 0
                return None
            if isinstance(reply, Exception):
                raise reply
        self._client_id = int(own_id)
        connected = {int(client["id"]) for client in clients}
        if lead.client_id in watched:
            self._leadership.note_leader_connected(lead.client_id in connected)
        return connected

    def _records(self, nodes: list[str]) -> dict[str, NodeRecord | None]:
        if not nodes:
            return {}
        pipe = self._client.pipeline(transaction=False)
        for node in nodes:
            pipe.hgetall(self.settings.keys.node(node))
        return {node: parse_node(node, found) for node, found in zip(nodes, execute(pipe), strict=True)}

    def _tell(self, before: Mapping[Owner, NodeRecord]) -> None:
        for owner in self._live.keys() - before.keys():
            logger.info("node is alive", extra={"node": owner.node, "incarnation": owner.incarnation})
        for owner in before.keys() - self._live.keys():
            where = {"node": owner.node, "incarnation": owner.incarnation}
            logger.warning("node is gone", extra=where | {"reason": self._membership.departed.get(owner)})
        metrics.nodes_alive.set(len(self._live))
        metrics.term.set(self._leadership.term)

    def _count(self, moves: list[Move], took_over: bool) -> None:
        if took_over:
            logger.info("leading", extra={"term": self.term, "generation": self.generation})
        if not moves:
            return
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

    def _connect(self) -> None:
        self._client = connect(self.settings.redis_url, name="nt:dispatcher")

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        self._resuming = True


def _policy(settings: Settings) -> MovePolicy:
    return MovePolicy(
        sticky=settings.nt_hrw_sticky_pct,
        load_factor=settings.nt_hrw_load_factor,
        min_hold_ms=settings.nt_min_hold_ms,
        rebalance_interval_ms=settings.nt_rebalance_interval_ms,
    )
