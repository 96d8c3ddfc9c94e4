"""What goes with each task message from the dispatcher to a node."""

from __future__ import annotations

from typing import NamedTuple

ALONE = "single"
"""The node id, and so the queue, if coordination is off and one node publishes everything."""


class Dispatch(NamedTuple):
    """What a node judges a task message by; see ``Node.refusal`` in ``tasks/node.py``.

    Attributes:
        owner: the process start that it is for, ``node/incarnation``.
        generation: of the assignment that it comes from.
        term: of the lead of its shard, see :mod:`tickfence.coordination.shards`.
        sent_ms: when it was sent, by the Redis server's clock.
        shard: which shard its symbols are of.
    """

    owner: str
    generation: int
    term: int
    sent_ms: int
    shard: int = 0

    def to_message(self) -> tuple[str | int, ...]:
        """What the message carries. A node that does not know shards takes four fields, and gets no other shard."""
        return self if self.shard else self[:4]
