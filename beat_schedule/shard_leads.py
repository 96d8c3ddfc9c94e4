"""Who sends for which shard: decided by the leading dispatcher, known to every one."""

from __future__ import annotations

import logging
import time
from operator import attrgetter
from typing import Any

from beat_schedule.poll import Poll
from tickfence.coordination import leadership
from tickfence.coordination.shards import Shards, share_shards
from tickfence.monitoring import dispatcher_metrics as metrics
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

SETTLED_S = 2.0
"""For so long the same beats must have lived before shards move for balance. A shard whose beat is gone moves at once."""


class ShardLeads:
    """The shards, and what a dispatcher has to do with them.

    With one shard, the leader sends everything. With more, those of the live beats that reach the broker share them.

    Args:
        settings: the process's settings.
        name: the dispatcher's.

    Attributes:
        noted: who sends for which shard, as last noted.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self.noted = Shards()
        self._newest = 0  # term of a shard, of all that were seen
        self._wanted, self._keys, self._name = settings.nt_dispatch_shards, settings.keys, name
        self._able: frozenset[str] = frozenset()
        self._able_since = 0.0
        self._decided_for: tuple[Any, ...] = ()

    def follow(self, poll: Poll) -> None:
        """Take over what another dispatcher, the leader, has noted."""
        if poll.lead.shards != self.noted:
            self._take(poll.lead.shards)

    def lead(self, client: Any, poll: Poll) -> bool:
        """Decide who sends for which shard, and note it.

        Args:
            client: the data plane.
            poll: of the leader.

        Returns:
            Whether it is noted; otherwise another dispatcher leads by now.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached.
        """
        lead = poll.lead
        # A node of an older version would refuse a message that names a shard.
        count = self._wanted if all(node.shards for node in poll.live.values()) else 1
        able = self._able_beats(poll) if count > 1 else frozenset((self._name,))
        now = time.monotonic()
        if able != self._able:
            self._able, self._able_since = able, now
        settled = now - self._able_since >= SETTLED_S
        reason = count, able, settled, lead.shards, lead.term
        if reason == self._decided_for:
            return True
        # Redis may have lost its last second, or everything. Nodes have seen what was noted then.
        before = max(lead.shards, self.noted, key=attrgetter("newest"))
        present = [shard.beat for shard in before.leads]
        shards = before.next(lead.term, share_shards(count, able, present, settled=settled), self._newest)
        if shards != lead.shards and not leadership.note(
            client, self._keys, self._name, lead.term, {"shards": shards.to_json()}
        ):
            return False
        self._decided_for = count, able, settled, shards, lead.term
        self._take(shards)
        return True

    def _able_beats(self, poll: Poll) -> frozenset[str]:
        live = frozenset((self._name, *poll.beats))
        beats, now_ms = poll.lead.beats, poll.lead.server_ms
        return frozenset(name for name in live if name in beats and beats[name].can_send(now_ms)) or live

    def _take(self, shards: Shards) -> None:
        before = self.noted.of(self._name) if self.noted.leads else {}
        self.noted, self._newest = shards, max(self._newest, shards.newest)
        own = shards.of(self._name)
        metrics.shards.set(len(own))
        if own.keys() != before.keys():
            logger.info("sending for shards", extra={"shards": sorted(own), "of": len(shards.leads)})
