"""The dispatcher's view of the system: whether it leads, which nodes work, who owns what, and for whom it sends."""

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
from beat_schedule.shard_leads import ShardLeads
from tickfence.coordination import leadership
from tickfence.coordination.assignment_store import Deposed, StoredAssignment, publish_assignment, read_assignment
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.controller import AssignmentController, Move, MovePolicy
from tickfence.coordination.dispatch import ALONE
from tickfence.coordination.leadership import Lead, LeaderReason
from tickfence.coordination.membership import GRACE_MS, NodeRecord
from tickfence.coordination.owner import Owner
from tickfence.coordination.shards import shard_of
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
    """Polls Redis again and again, keeps the assignment in step while it leads, and knows what it has to send.

    A dispatcher that does not lead polls, too. So it knows the nodes already when it gets the lead, and it follows the
    leader's assignment while it sends for a shard.

    Args:
        settings: the process's settings.
        broker: tells what waits in the nodes' queues, and whether it can be reached.
        name: different for every process start.
        grace_ms: how long the connection of a node or of the leader may be missing.

    Attributes:
        clock: the Redis server's time.

    Example:
        >>> dispatcher = Dispatcher(settings, broker, name="beat-1/5f0c9a1be2d43786")
        >>> urgent = dispatcher.poll()
        >>> dispatcher.leading, dispatcher.shards, dispatcher.owners, dispatcher.generation
    """

    def __init__(self, settings: Settings, broker: Broker, name: str, grace_ms: int = GRACE_MS) -> None:
        self.settings = settings
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
        self._alone = not settings.nt_enable_multi_instance
        self._journal = Journal(settings.redis_url, self._keys, name)
        self._published = StoredAssignment(0, 0, {})  # as last published, or read
        self._shard_leads = ShardLeads(settings, name)
        self._owners: Mapping[Instrument, Owner] = {}
        self._owners_of: tuple[Any, ...] = ()  # what they follow from
        self._known: tuple[Mapping[Instrument, Owner], Collection[int], int] = {}, (), 0  # owners, shards, their number
        self._live: Mapping[Owner, NodeRecord] = {}
        self._acting_term = 0  # the term for which the assignment is published; 0 if none is
        self._next_purge = 0.0
        if self._alone:
            self._nodes.stand_by({Owner(ALONE, ALONE): NodeRecord(Owner(ALONE, ALONE), client_id=0)})
            self._assign_alone()

    @property
    def connected(self) -> bool:
        """Whether it has a connection to the data plane."""
        return self._poller.connected

    @property
    def leading(self) -> bool:
        """Whether it leads, and its assignment is published. Without coordination it always does."""
        return self._alone or (self._poller.leadership.leading and self._acting_term == self.term)

    @property
    def in_a_hurry(self) -> bool:
        """Whether the connection of a node, or of the leader, is gone: it is soon known whether that one is dead."""
        return self._poller.leadership.leader_missing or self._poller.membership.missing

    @property
    def term(self) -> int:
        """The highest term seen."""
        return self._poller.leadership.term

    @property
    def generation(self) -> int:
        """Of the assignment that it last published or read."""
        return self._published.generation

    @property
    def shard_count(self) -> int:
        """How many shards there are."""
        return max(1, len(self._shard_leads.noted.leads))

    @property
    def shards(self) -> Mapping[int, int]:
        """The shards that it sends for now -> their terms."""
        if self._alone:
            return {0: 0}
        noted = self._shard_leads.noted
        if noted.term != self.term or not self._poller.leadership.in_touch:
            return {}
        return noted.of(self._name) if self.leading or not self._poller.leadership.leading else {}

    @property
    def owners(self) -> Mapping[Instrument, Owner]:
        """Symbol -> owner, of the symbols whose owner works. The same object as long as nothing of it changes."""
        of = self._published, self._nodes.records.keys()
        if self._owners_of != of:
            published, nodes = of
            self._owners = {symbol: owner for symbol, owner in published.owners.items() if owner in nodes}
            self._owners_of = of
        return self._owners

    @property
    def nodes(self) -> Collection[Owner]:
        """The live nodes."""
        return self._live.keys()

    @property
    def symbols(self) -> Collection[Instrument]:
        """The symbols to report on."""
        return self._controller.symbols

    def poll(self) -> dict[int, dict[Instrument, Owner]]:
        """Poll once, unless a poll has failed a moment ago. Never raises because Redis cannot be reached.

        Returns:
            What is to be dispatched at once: shard -> symbol -> owner, of the symbols that have another owner than at the
            last poll. When it begins to send for a shard, these are all: the last cycle may not have been sent.
        """
        self._poller.call(self._poll_alone if self._alone else self._poll)
        (before, had, of), count = self._known, self.shard_count
        owners, shards = self.owners, self.shards.keys()
        self._known = owners, shards, count
        if count != of:
            had = ()
        urgent: dict[int, dict[Instrument, Owner]] = {}
        if owners is before and all(shard in had for shard in shards):
            return urgent
        for symbol, owner in owners.items():
            shard = shard_of(symbol, count)
            if shard in shards and (shard not in had or before.get(symbol) != owner):
                urgent.setdefault(shard, {})[symbol] = owner
        return urgent

    def close(self) -> None:
        """Resign, so that a stand-by leads at once."""
        self._poller.close()
        self._journal.close()

    def _poll_alone(self, client: Any) -> None:
        self._desired.follow(client, self._poller.read_clock(), leading=True)
        self._replace_symbols()
        self._assign_alone()
        self._retirement.delete(client, self._desired.removed)
        # Each time: there is no lead here whose term would tell that Redis has lost it.
        client.hset(self._keys.dispatcher, "desired", self._desired.followed.version)

    def _assign_alone(self) -> None:
        """Without coordination, everything is the one node's."""
        if self._published.owners.keys() != set(self.symbols):
            self._published = StoredAssignment(0, 0, dict.fromkeys(self.symbols, Owner(ALONE, ALONE)))

    def _poll(self, client: Any) -> None:
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
            self._follow(client, poll)
            return
        try:
            self._lead(client, poll)
        except Deposed as deposed:
            logger.warning("%s", deposed)
            self._acting_term = 0
            self._poller.leadership.resign(client, deposed.newer)

    def _follow(self, client: Any, poll: Poll) -> None:
        """Take over from the leader what is needed to send for a shard."""
        self._shard_leads.follow(poll)
        self._replace_symbols()
        if not self._shard_leads.noted.of(self._name) or poll.generation <= self.generation:
            return
        try:
            found = read_assignment(client, self._keys)
        except ValueError as error:
            logger.warning("%s is not readable, the one before stays in force: %s", self._keys.assignment, error)
            return
        # A lower generation is from before: Redis has lost the newest, and the leader publishes it again.
        if found.generation > self.generation:
            self._published = found

    def _hand_over(self, client: Any, lead: Lead) -> bool:
        """Resign if another dispatcher can send and we cannot; whether we did."""
        failing_s = self._broker.failing_s
        if not self._poller.leadership.should_hand_over(lead, failing_s):
            return False
        logger.warning("the lead goes to a beat that can send", extra={"broker_away_s": round(failing_s, 1)})
        self._poller.leadership.resign(client, why=LeaderReason.CANNOT_SEND)
        self._poller.pause(HAND_OVER_S)
        return True

    def _lead(self, client: Any, poll: Poll) -> None:
        """Do a leader's work of one poll."""
        lead = poll.lead
        self._journal.note_lead(lead)
        new_term = lead.term != self._acting_term
        dropped: dict[Instrument, Owner] = {}
        lost = False
        if new_term:
            self._replace_symbols()
            dropped, lost = self._adopt(client, poll)
            self._nodes.begin(client, lead)
        others_send = any(shard.beat != self._name for shard in self._shard_leads.noted.leads)
        owners = self._controller.owners.values()
        if not self._nodes.judge(client, poll, self._desired.followed, owners, others_send=others_send):
            self._acting_term = 0
            return
        first = not self._controller.owners
        dropped |= self._replace_symbols()
        moves = self._controller.step(lead.server_ms, *self._nodes.shares(self._desired.followed))
        change = None
        # Redis may have lost its last second, and with it an assignment that others are to follow.
        lost_newest = 0 <= poll.generation < self.generation
        if moves or dropped or new_term or lost_newest:
            self._acting_term = 0  # if publishing fails, the next poll starts again from what is published
            self._published = publish_assignment(
                client, self._keys, lead.term, self._published, self._controller.owners
            )
            self._acting_term = lead.term
            self._report_assignment(moves, new_term)
            change = AssignmentChange(self.generation, moves, dropped, first, lost)
        if not self._shard_leads.lead(client, poll):
            self._acting_term = 0
            return
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

    def _adopt(self, client: Any, poll: Poll) -> tuple[dict[Instrument, Owner], bool]:
        """Start from the published assignment; return its symbols that are not ours, and whether data was lost."""
        try:
            # With very many symbols, a lead may run out over them. It goes on with what it knows, if nothing has changed.
            known = poll.generation == self.generation > 0
            stored = self._published if known else read_assignment(client, self._keys)
        except ValueError as error:
            logger.warning("%s is not readable and counts as lost: %s", self._keys.assignment, error)
            stored = StoredAssignment(term=0, generation=-1, owners={})  # older than any
        # If Redis came back without its last seconds, what it shows is older than what we published.
        older = stored.generation < self.generation
        if not older:
            self._published = stored
        if not known or self._controller.owners != stored.owners:
            self._controller.adopt(self._published.owners, poll.lead.server_ms)
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
