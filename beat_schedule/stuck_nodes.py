"""The nodes that are alive and do not work: found, told to others, and asked again and again until they answer."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from beat_schedule.broker import Broker
from tickfence.coordination.membership import NodeRecord
from tickfence.coordination.owner import Owner
from tickfence.coordination.progress import ProgressJudge
from tickfence.coordination.verdicts import Verdicts
from tickfence.instrument import Instrument
from tickfence.monitoring import dispatcher_metrics as metrics
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

ASK_EVERY_S = 1.0
"""How often the queue of a stuck node is looked at."""
FIRST_PROBE_AGAIN_S, LAST_PROBE_AGAIN_S = 1.0, 30.0
"""How long after a probe the next one is sent: twice as long each time."""


@dataclass
class _Probe:
    """A question to a stuck node: it answers when its main thread takes messages again.

    Attributes:
        id: what it answers with. One id for all probes of a verdict, so that the first answer counts.
        again_at: when it is sent again, unless it still waits in the queue.
        wait_s: how long after the next one it is sent again.
        ask_at: when the queue is looked at again.
    """

    id: str
    again_at: float
    wait_s: float
    ask_at: float


class StuckNodes:
    """What a leading dispatcher does about nodes whose heartbeat goes on while their main thread does nothing.

    A stuck node gets no symbols. It gets a probe message: at once, and again whenever its queue is empty, with backoff.
    When it has answered, it may get symbols again. What else waits in its queue it drops itself: that is late.

    Args:
        settings: the process's settings.
        broker: where its queue is.

    Attributes:
        verdicts: which nodes are stuck, and which symbols were in work then.
    """

    def __init__(self, settings: Settings, broker: Broker) -> None:
        self.verdicts = Verdicts()
        self._broker = broker
        late_ms = max(2 * settings.nt_heartbeat_interval_ms, settings.nt_heartbeat_ttl_ms // 2)
        self._judge = ProgressJudge(settings.nt_stuck_after_ms / 1000, late_ms / 1000)
        self._probes: dict[Owner, _Probe] = {}

    def begin(self, found: Verdicts) -> None:
        """Begin a lead with the verdicts of the leader before."""
        self.verdicts = found
        self._probes.clear()
        self._judge.begin(time.monotonic())

    def resume(self) -> None:
        """Note that Redis can be reached again after a time in which it could not."""
        self._judge.resume(time.monotonic())

    def follow(
        self,
        server_ms: int,
        live: Mapping[Owner, NodeRecord],
        drained: Collection[Owner],
        heard: Collection[Owner],
        set_aside: Collection[Instrument],
        *,
        others_send: bool = False,
    ) -> None:
        """Process what one poll has found; then :attr:`verdicts` are up to date.

        Args:
            server_ms: the server's time.
            live: the live nodes.
            drained: those that are to get no symbols anyway; they are not judged.
            heard: those whose heartbeat has come since the poll before.
            set_aside: symbols that no node gets; what counts against them stays.
            others_send: whether other dispatchers send to the nodes, too.
        """
        now = time.monotonic()
        self._let_back(live, set_aside)
        eligible = {o: record for o, record in live.items() if o not in drained and o not in self.verdicts.stuck}
        # What others send is not known here, so each node may have been sent something. Its queue tells.
        sent = dict.fromkeys(eligible, now) if others_send else self._broker.sent
        suspects = self._judge.observe(now, eligible, heard, sent, self._broker.failed_at)
        due = [owner for owner in self.verdicts.stuck if self._probe_of(owner, now).ask_at <= now]
        waiting = (self._broker.backlog([*suspects, *due]) or {}) if suspects or due else {}
        # A node of an older version answers no probe, so it would not come back.
        unreadable = [
            owner for owner in self._broker.unreadable if owner in eligible and eligible[owner].progress is not None
        ]
        stuck = self._judge.decide(now, waiting, unreadable, eligible)
        if stuck is not None:
            self._note_stuck(stuck, eligible[stuck].working, waiting.get(stuck), server_ms)
            self._send_probe(stuck, self._probe_of(stuck, now), now)
        for owner in due:
            self._ask_again(owner, waiting.get(owner), now)
        self.verdicts = self.verdicts.without_old_blame(server_ms)
        metrics.nodes_stuck.set(len(self.verdicts.stuck))

    def _note_stuck(self, owner: Owner, working: str, waiting: int | None, server_ms: int) -> None:
        self.verdicts = self.verdicts.with_stuck(owner, working, server_ms)
        metrics.node_stuck.inc()
        logger.error(
            "node is stuck: it is alive, but takes no messages",
            extra={"node": owner.node, "incarnation": owner.incarnation, "waiting": waiting, "working": working},
        )

    def _let_back(self, live: Mapping[Owner, NodeRecord], set_aside: Collection[Instrument]) -> None:
        """End the verdicts on nodes that have answered, and on those that are gone."""
        for owner in list(self.verdicts.stuck):
            probe = self._probes.get(owner)
            answered = owner in live and probe is not None and live[owner].probe == probe.id
            if answered:
                logger.info("node works again", extra={"node": owner.node, "incarnation": owner.incarnation})
                self.verdicts = self.verdicts.without_blame_by(owner, set_aside)
            if answered or owner not in live:
                self.verdicts = self.verdicts.without_stuck(owner)
                self._probes.pop(owner, None)
                self._judge.forget(owner)

    def _probe_of(self, owner: Owner, now: float) -> _Probe:
        if owner not in self._probes:
            self._probes[owner] = _Probe(secrets.token_hex(4), now, FIRST_PROBE_AGAIN_S, now)
        return self._probes[owner]

    def _ask_again(self, owner: Owner, waiting: int | None, now: float) -> None:
        """Send another probe, if the one before cannot be in the queue any more and its time has come."""
        probe = self._probes[owner]
        probe.ask_at = now + ASK_EVERY_S
        if waiting == 0 and probe.again_at <= now:
            self._send_probe(owner, probe, now)

    def _send_probe(self, owner: Owner, probe: _Probe, now: float) -> None:
        probe.ask_at = now + ASK_EVERY_S
        if self._broker.probe(owner, probe.id):
            probe.again_at = now + probe.wait_s
            probe.wait_s = min(2 * probe.wait_s, LAST_PROBE_AGAIN_S)
