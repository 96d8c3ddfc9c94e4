"""Which live node does not work, judged by its progress and by what waits in its queue. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tickfence.coordination.membership import NodeRecord
from tickfence.coordination.owner import Owner

VERDICT_EVERY_S = 2.0
"""At most one verdict falls in this time, so that a cause which all nodes share does not empty the cluster."""


@dataclass
class _Watched:
    """What is known of one node.

    Attributes:
        progress: its counter, as of its last heartbeat.
        heard_at: when that heartbeat was observed.
        rose_at: when its counter was last seen to rise.
        still_since: since when its counter has stood still although a message waits. What does not count is left out.
        waits: whether a message may wait for it: some were sent, and its queue has not been seen empty since.
        idle: whether no message was sent to it since its counter rose, or since its queue was seen empty.
        sent_at: when the last message was sent that this takes into account.
    """

    progress: int | None
    heard_at: float
    rose_at: float
    still_since: float
    waits: bool = False
    idle: bool = True
    sent_at: float = 0.0

    @property
    def still_s(self) -> float:
        """How long it has demonstrably stood still."""
        return self.heard_at - self.still_since if self.waits and self.progress is not None else 0.0

    def hear(self, now: float, progress: int | None, late_s: float) -> None:
        """Process a heartbeat."""
        gap = now - self.heard_at
        if progress != self.progress:
            self.rose_at = self.still_since = now
            self.idle = True
        elif gap > late_s:
            self.still_since = min(now, self.still_since + gap)
        self.progress, self.heard_at = progress, now

    def note_sent(self, at: float, slack_s: float) -> None:
        """Note that a message was sent to it. If it may have had none before, its time begins: ``slack_s`` before that."""
        if at > self.sent_at:
            self.sent_at = at
            if self.idle:
                self.still_since = max(self.still_since, at - slack_s)
            self.waits, self.idle = True, False

    def note_empty(self) -> None:
        """Note that nothing waits in its queue: it has taken all, and its counter comes with its next heartbeat."""
        self.waits, self.idle = False, True


class ProgressJudge:
    """Finds the node that is stuck: it is alive, messages of ours wait for it, and its main thread takes none.

    A node's heartbeat comes from a thread of its own, so it goes on when the main thread hangs in a calculator, when the
    consumer was cancelled, or when the node's connection to the broker is silently dead. But the heartbeat carries a
    counter that only the main thread raises, with each message and each symbol. A node is stuck when that counter has
    stood still for ``bound_s`` while its queue holds messages. A node that is slow, even with a thousand symbols in one
    message, goes on counting.

    What does not count:

    - Time before this leader led, and time in which Redis or the broker could not be reached: the node could not, either.
    - Time between two heartbeats that is longer than ``late_s``: the node's process, this one, or the machine stood still.
    - A node without a counter, which is of an older version.

    At most one verdict falls in 2 s. None falls unless another node may get symbols and works: it would help nobody.

    The caller asks the broker only for the queues of :meth:`suspects`, so nodes that work cost nothing. All times are
    monotonic seconds: only differences that this process has seen itself are judged.

    Args:
        bound_s: ``NT_STUCK_AFTER_MS``, in seconds.
        late_s: time between two heartbeats that counts as an interruption.

    Example:
        >>> judge = ProgressJudge(bound_s=1.5, late_s=0.5)
        >>> judge.begin(now)
        >>> suspects = judge.observe(now, live, heard, sent, broker_failed_at)
        >>> judge.decide(now, waiting={owner: 3}, unreadable=(), eligible=live)
    """

    def __init__(self, bound_s: float, late_s: float) -> None:
        self.bound_s = bound_s
        self.late_s = late_s
        self._nodes: dict[Owner, _Watched] = {}
        self._suspects: list[Owner] = []
        self._began = 0.0
        self._last_verdict = -VERDICT_EVERY_S

    def begin(self, now: float) -> None:
        """Begin a lead: nothing that was before counts."""
        self._nodes.clear()
        self._suspects.clear()
        self._began = now

    def resume(self, now: float) -> None:
        """Note that Redis can be reached again after a time in which it could not."""
        for node in self._nodes.values():
            node.heard_at = node.still_since = now

    def forget(self, owner: Owner) -> None:
        """Judge a node as one that has just joined."""
        self._nodes.pop(owner, None)

    def observe(
        self,
        now: float,
        live: Mapping[Owner, NodeRecord],
        heard: Collection[Owner],
        sent: Mapping[Owner, float],
        broker_failed_at: float,
    ) -> list[Owner]:
        """Process what one poll has found.

        Args:
            now: the time.
            live: the live nodes that may get symbols.
            heard: those whose heartbeat has come since the last call.
            sent: owner -> when this process last sent it a message.
            broker_failed_at: when a call of this process to the broker last failed.

        Returns:
            Nodes that may be stuck. Ask how many messages wait in their queues, then :meth:`decide`.
        """
        self._nodes = {owner: node for owner, node in self._nodes.items() if owner in live}
        for owner, record in live.items():
            node = self._nodes.get(owner)
            if node is None:
                node = self._nodes[owner] = _Watched(record.progress, now, now, now, sent_at=self._began)
            elif owner in heard:
                node.hear(now, record.progress, self.late_s)
            # A quarter: messages of a common period count as if each waited from the moment the one before was taken.
            node.note_sent(sent.get(owner, 0.0), self.bound_s / 4)
            node.still_since = max(node.still_since, broker_failed_at)
        self._suspects = [owner for owner in heard if owner in self._nodes and self._is_suspect(owner)]
        return self._suspects

    def decide(
        self,
        now: float,
        waiting: Mapping[Owner, int],
        unreadable: Collection[Owner],
        eligible: Collection[Owner],
    ) -> Owner | None:
        """The node that is stuck, if there is one.

        Args:
            now: the time.
            waiting: how many messages wait in the queue of each suspect; left out where that is not known.
            unreadable: nodes that cannot be sent anything, because something else has the name of their queue.
            eligible: the nodes that may get symbols.
        """
        for owner in self._suspects:
            if waiting.get(owner) == 0:
                self._nodes[owner].note_empty()
        stuck = {o for o in self._suspects if waiting.get(o) and self._nodes[o].still_s >= self.bound_s}
        stuck |= set(unreadable).intersection(eligible)
        if not stuck or now - self._last_verdict < VERDICT_EVERY_S:
            return None
        if not any(self._works(owner, now) for owner in eligible if owner not in stuck):
            return None
        self._last_verdict = now
        worst = max(stuck, key=lambda owner: (self._still_s(owner), owner))
        self.forget(worst)
        return worst

    def _still_s(self, owner: Owner) -> float:
        node = self._nodes.get(owner)
        return node.still_s if node else 0.0

    def _works(self, owner: Owner, now: float) -> bool:
        """Whether it is heard, and its counter rose lately, or nothing waits for it."""
        node = self._nodes.get(owner)
        if node is None or now - node.heard_at > self.late_s or self._is_suspect(owner):
            return False
        return not node.waits or now - node.rose_at < self.bound_s

    def _is_suspect(self, owner: Owner) -> bool:
        return self._still_s(owner) >= self.bound_s / 2
