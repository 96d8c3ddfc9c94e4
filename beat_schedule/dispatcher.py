"""The dispatcher's view of the system: whether it leads, which nodes work, who owns what."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import Any

from beat_schedule.broker import Broker
from beat_schedule.desired_state import DesiredState
from beat_schedule.eligible_nodes import EligibleNodes
from beat_schedule.event_recorder import AssignmentChange
from beat_schedule.journal import Journal
from beat_schedule.poll import Poll, Poller
from beat_schedule.retirement import Retirement
from tickfence.coordination import leadership
from tickfence.coordination.assignment_store import Deposed, StoredAssignment, publish_assignment, read_assignment
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.controller import AssignmentController, Move, MovePolicy
from tickfence.coordination.leadership import Lead, LeaderReason
from tickfence.coordination.membership import GRACE_MS, NodeRecord
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.monitoring import dispatcher_metrics as metrics
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

HAND_OVER_S = 0.5
"""For so long a leader that resigned in another's favour does not ask for the lead. A stand-by asks every 25 ms."""
PURGE_EVERY_S = 60.0
PURGE_AFTER_MS = 600_000
"""The name of a node that was silent for this long is removed from ``nt:nodes``."""


class Dispatcher:
    """Polls Redis again and again, and keeps the assignment in step while it leads.

    A dispatcher that stands by polls, too. So it knows the nodes already when it gets the lead.

    Args:
        settings: the process's settings.
        broker: tells what waits in the nodes' queues, and whether it can be reached.
        name: different for every process start.
        grace_ms: how long the connection of a node or of the leader may be missing.

    Attributes:
        clock: the Redis server's time.
        generation: the highest generation of the assignment that it has published or found.

    Example:
        >>> dispatcher = Dispatcher(settings, broker, name="beat-1/5f0c9a1be2d43786")
        >>> moves = dispatcher.poll()
        >>> dispatcher.leading, dispatcher.owners, dispatcher.generation
    """

    def __init__(self, settings: Settings, broker: Broker, name: str, grace_ms: int = GRACE_MS) -> None:
        self.settings = settings
        self.generation = 0
        self._name = name
        self._keys = settings.keys
        self._poller = Poller(settings, name, grace_ms)
        self.clock: ServerClock = self._poller.clock
        self._broker = broker
        self._told_sender_at = 0.0
        self._nodes = EligibleNodes(settings, broker, name)
        self._desired = DesiredState(settings, name)
        self._noted_desired = 0  # version, as nt:dispatcher has it
        self._symbols_by: tuple[int, Collection[Instrument]] = (-1, ())  # what the controller's symbols follow from
        self._retirement = Retirement(settings.keys, settings.nt_slow_period_ms / 1000 + 1)
        self._controller = AssignmentController(settings.symbols, MovePolicy.of(settings))
        self._journal = Journal(settings.redis_url, self._keys, name)
        self._owners: Mapping[Instrument, Owner] = {}
        self._owners_of: tuple[int, Collection[Owner]] = (-1, ())
        self._live: Mapping[Owner, NodeRecord] = {}
        self._acting_term = 0  # the term for which the assignment is published; 0 if none is
        self._next_purge = 0.0

    @property
    def connected(self) -> bool:
        """Whether it has a connection to the data plane."""
        return self._poller.connected

    @property
    def leading(self) -> bool:
        """Whether it leads, and its assignment is published."""
        return self._poller.leadership.leading and self._acting_term == self.term

    @property
    def leader_missing(self) -> bool:
        """Whether another dispatcher leads, and its connection is gone."""
        return self._poller.leadership.leader_missing

    @property
    def term(self) -> int:
        """The highest term seen."""
        return self._poller.leadership.term

    @property
    def owners(self) -> Mapping[Instrument, Owner]:
        """Symbol -> owner, of the symbols whose owner works. The same object as long as nothing of it changes."""
        of = self.generation, self._nodes.records.keys()
        if self._owners_of != of:
            working = {symbol: one for symbol, one in self._controller.owners.items() if one in self._nodes.records}
            self._owners, self._owners_of = working, of
        return self._owners

    @property
    def nodes(self) -> Collection[Owner]:
        """The live nodes."""
        return self._live.keys()

    @property
    def symbols(self) -> Collection[Instrument]:
        """The symbols to report on."""
        return self._controller.symbols

    def poll(self) -> list[Move]:
        """Poll once; return the symbols that moved.

        Never raises because Redis cannot be reached: a later call tries again, after a short wait.
        """
        return self._poller.call(self._poll) or []

    def poll_alone(self) -> None:
        """Without coordination: read the server's time and follow the desired state, at most once a second."""
        self._poller.call(self._poll_alone)

    def close(self) -> None:
        """Resign, so that a stand-by leads at once."""
        self._poller.close()
        self._journal.close()

    def _poll_alone(self, client: Any) -> None:
        self._desired.follow(client, self._poller.read_clock(), leading=True)
        self._replace_symbols()
        self._retirement.delete(client, self._desired.removed)
        # Each time: there is no lead here whose term would tell that Redis has lost it.
        client.hset(self._keys.dispatcher, "desired", self._desired.followed.version)

    def _poll(self, client: Any) -> list[Move]:
        can_send, self._told_sender_at = self._broker.answered_at > self._told_sender_at, self._broker.answered_at
        poll = self._poller.read(can_send=can_send)
        self._desired.follow(client, poll.desired, leading=poll.lead.leading)
        before, self._live = self._live, poll.live
        self._report_nodes(before)
        if not poll.lead.leading or self._hand_over(client, poll.lead):
            if self._acting_term:
                logger.warning("another dispatcher leads", extra={"term": poll.lead.term})
            self._acting_term = 0
            self._nodes.stand_by(poll.live)
            return []
        try:
            return self._lead(client, poll)
        except Deposed as deposed:
            logger.warning("%s", deposed)
            self._acting_term = 0
            self._poller.leadership.resign(client, deposed.newer)
            return []

    def _hand_over(self, client: Any, lead: Lead) -> bool:
        """Resign if another dispatcher can send and we cannot; whether we did."""
        failing_s = self._broker.failing_s
        if not self._poller.leadership.should_hand_over(lead, failing_s):
            return False
        logger.warning("the lead goes to a beat that can send", extra={"broker_away_s": round(failing_s, 1)})
        self._poller.leadership.resign(client, why=LeaderReason.CANNOT_SEND)
        self._poller.pause(HAND_OVER_S)
        return True

    def _lead(self, client: Any, poll: Poll) -> list[Move]:
        """Do a leader's work of one poll; return the symbols that moved."""
        lead = poll.lead
        self._journal.note_lead(lead)
        new_term = lead.term != self._acting_term
        dropped: dict[Instrument, Owner] = {}
        lost = False
        if new_term:
            self._replace_symbols()
            dropped, lost = self._adopt(client, lead)
            self._nodes.begin(client, lead)
        if not self._nodes.judge(client, poll, self._desired.followed, self._controller.owners.values()):
            self._acting_term = 0
            return []
        first = not self._controller.owners
        dropped |= self._replace_symbols()
        moves = self._controller.step(lead.server_ms, *self._nodes.shares(self._desired.followed))
        change = None
        if moves or dropped or new_term:
            self._acting_term = 0  # if publishing fails, the next poll starts again from what is published
            self.generation = publish_assignment(
                client, self._keys, lead.term, self.generation, self._controller.owners
            )
            self._acting_term = lead.term
            self._report_assignment(moves, new_term)
            change = AssignmentChange(self.generation, moves, dropped, first, lost)
        desired = self._desired.followed
        departed = {**self._poller.membership.departed, **self._nodes.kept_out}
        nodes, set_aside = self._nodes.records.keys(), self._nodes.set_aside
        self._journal.note(lead.term, nodes, departed, set_aside, desired.changes, change)
        if desired.version != self._noted_desired:
            leadership.note(client, self._keys, self._name, lead.term, {"desired": str(desired.version)})
            self._noted_desired = desired.version
        self._retirement.retire(client, self._desired.removed, self.generation)
        if time.monotonic() >= self._next_purge:
            client.zremrangebyscore(self._keys.nodes, 0, lead.server_ms - PURGE_AFTER_MS)
            self._next_purge = time.monotonic() + PURGE_EVERY_S
        return moves

    def _adopt(self, client: Any, lead: Lead) -> tuple[dict[Instrument, Owner], bool]:
        """Start from the published assignment; return its symbols that are not ours, and whether data was lost."""
        try:
            stored = read_assignment(client, self._keys)
        except ValueError as error:
            logger.warning("%s is not readable and counts as lost: %s", self._keys.assignment, error)
            stored = StoredAssignment(term=0, generation=-1, owners={})  # older than any
        # If Redis came back without its last seconds, what it shows is older than what we published.
        older = stored.generation < self.generation
        self._controller.adopt(dict(self._controller.owners) if older else stored.owners, lead.server_ms)
        self.generation = max(self.generation, stored.generation)
        self._journal.note_adopted(stored.owners.values())
        wanted = frozenset(self._desired.symbols)
        dropped = {symbol: owner for symbol, owner in stored.owners.items() if symbol not in wanted}
        self._noted_desired = 0
        return dropped, older or self._journal.lost_data

    def _replace_symbols(self) -> dict[Instrument, Owner]:
        """Have the symbols assigned that are to be; return those that no longer are, with their owners so far."""
        reason = self._desired.followed.version, self._nodes.set_aside.keys()
        if reason == self._symbols_by:
            return {}
        self._symbols_by = reason
        wanted = tuple(symbol for symbol in self._desired.symbols if symbol not in self._nodes.set_aside)
        return self._controller.replace_symbols(wanted)

    def _report_nodes(self, before: Mapping[Owner, NodeRecord]) -> None:
        for owner in self._live.keys() - before.keys():
            logger.info("node is alive", extra={"node": owner.node, "incarnation": owner.incarnation})
        for owner in before.keys() - self._live.keys():
            where = {"node": owner.node, "incarnation": owner.incarnation}
            logger.warning("node is gone", extra=where | {"reason": self._poller.membership.departed.get(owner)})
        metrics.nodes_alive.set(len(self._live))
        metrics.term.set(self.term)

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
