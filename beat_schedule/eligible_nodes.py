"""Which live nodes may get symbols, how many, and which symbols no node gets: what the leader goes by, and tells others."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from beat_schedule.broker import Broker
from beat_schedule.poll import Poll
from beat_schedule.stuck_nodes import StuckNodes
from tickfence.coordination import leadership
from tickfence.coordination.desired import Desired, NodeMode
from tickfence.coordination.leadership import Lead, LeaderReason
from tickfence.coordination.membership import NodeReason, NodeRecord
from tickfence.coordination.owner import Owner
from tickfence.coordination.verdicts import Verdicts, parse_verdicts
from tickfence.instrument import Instrument
from tickfence.monitoring import dispatcher_metrics as metrics
from tickfence.settings import Settings

logger = logging.getLogger(__name__)


class EligibleNodes:
    """The live nodes without those that are stuck or drained.

    Nothing is drained to nowhere: while no node may get symbols, those that operators drain keep theirs.

    What the leader finds is noted in ``nt:dispatcher`` before anything follows from it, so the next leader knows it.

    Args:
        settings: the process's settings.
        broker: tells what waits in the nodes' queues.
        name: the dispatcher's.

    Attributes:
        records: the nodes that may get symbols, with what they registered.
        kept_out: why each other live node may not.
        set_aside: symbols that no node gets -> the nodes that got stuck with them.
    """

    def __init__(self, settings: Settings, broker: Broker, name: str) -> None:
        self.records: Mapping[Owner, NodeRecord] = {}
        self.kept_out: Mapping[Owner, NodeReason] = {}
        self.set_aside: Mapping[Instrument, tuple[str, ...]] = {}
        self._keys, self._name = settings.keys, name
        self._stuck_nodes = StuckNodes(settings, broker)
        self._noted = Verdicts()  # as nt:dispatcher has them
        self._term = 0  # in which they were read there

    def stand_by(self, live: Mapping[Owner, NodeRecord]) -> None:
        """Judge nobody: another dispatcher leads."""
        self.records, self.kept_out, self.set_aside = live, {}, {}
        for gauge in (metrics.nodes_stuck, metrics.symbols_set_aside):
            gauge.set(0)

    def begin(self, client: Any, lead: Lead) -> None:
        """Begin a lead, or go on with it, with what the leader before has noted.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached, or the key is not a hash.
        """
        if lead.term == self._term:
            return
        found = parse_verdicts(client.hget(self._keys.dispatcher, "verdicts") or b"")
        # If we led before Redis lost its data, our own verdicts are the newest.
        ours = lead.lost and lead.reason is LeaderReason.RENEWED
        self._stuck_nodes.begin(self._stuck_nodes.verdicts if ours else found)
        self._noted, self._term = found, lead.term
        self.kept_out, self.set_aside = {}, {}

    def judge(
        self, client: Any, poll: Poll, desired: Desired, owners: Collection[Owner], *, others_send: bool = False
    ) -> bool:
        """Find out who may get symbols.

        Args:
            client: the data plane.
            poll: what the poll found.
            desired: what operators want.
            owners: those that have symbols, alive or not.
            others_send: whether other dispatchers send to the nodes, too, for their shards.

        Returns:
            Whether the verdicts are noted; otherwise another dispatcher leads by now, and nothing may follow from them.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached.
        """
        drained = [o for o, node in poll.live.items() if node.drained or desired.node(o.node).mode is NodeMode.DRAINED]
        if poll.resumed:
            self._stuck_nodes.resume()
        self._stuck_nodes.follow(
            poll.lead.server_ms, poll.live, drained, poll.heard, self.set_aside, others_send=others_send
        )
        verdicts = self._stuck_nodes.verdicts
        if verdicts != self._noted:
            if not leadership.note(client, self._keys, self._name, poll.lead.term, {"verdicts": verdicts.to_json()}):
                return False
            self._noted = verdicts
        kept_out = dict.fromkeys(drained, NodeReason.DRAINED) | dict.fromkeys(verdicts.stuck, NodeReason.STUCK)
        for owner in self._with_nowhere_to_go(poll.live, desired, kept_out, owners):
            del kept_out[owner]
        resumed = {symbol: desired.symbols[symbol].since_ms for symbol in verdicts.blamed if symbol in desired.symbols}
        set_aside = verdicts.set_aside(poll.lead.server_ms, resumed)
        self._report(kept_out, set_aside)
        self.kept_out, self.set_aside = kept_out, set_aside
        self.records = {owner: node for owner, node in poll.live.items() if owner not in kept_out}
        return True

    def _with_nowhere_to_go(
        self,
        live: Mapping[Owner, NodeRecord],
        desired: Desired,
        kept_out: Mapping[Owner, NodeReason],
        owners: Collection[Owner],
    ) -> list[Owner]:
        """The nodes that operators drain, and whose symbols no other node may get."""
        if any(desired.node(o.node).mode is not NodeMode.CORDONED for o in live.keys() - kept_out.keys()):
            return []
        having = {owner.node for owner in owners}  # by name, so that one that starts again has them again
        drained = [owner for owner, reason in kept_out.items() if reason is NodeReason.DRAINED]
        return [owner for owner in drained if owner.node in having and not live[owner].drained]

    def shares(self, desired: Desired) -> tuple[dict[Owner, float], frozenset[Owner]]:
        """The weights of the nodes that may have symbols, and those of them that get no more."""
        weights, cordoned = {}, set()
        for owner, record in self.records.items():
            wanted = desired.node(owner.node)
            weights[owner] = record.weight if wanted.weight is None else wanted.weight
            if wanted.mode is NodeMode.CORDONED:
                cordoned.add(owner)
        return weights, frozenset(cordoned)

    def _report(self, kept_out: Mapping[Owner, NodeReason], set_aside: Mapping[Instrument, tuple[str, ...]]) -> None:
        for owner in kept_out.keys() - self.kept_out.keys():
            where = {"node": owner.node, "incarnation": owner.incarnation}
            logger.info("node gets no symbols", extra=where | {"reason": kept_out[owner]})
        for symbol in set_aside.keys() - self.set_aside.keys():
            extra = {"symbol": symbol, "nodes": set_aside[symbol]}
            logger.error("symbol is set aside: nodes got stuck while they worked on it", extra=extra)
        metrics.symbols_set_aside.set(len(set_aside))
