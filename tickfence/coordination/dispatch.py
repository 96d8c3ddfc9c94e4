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
        term: of the dispatcher that sent it.
        sent_ms: when it was sent, by the Redis server's clock.
    """

    owner: str
    generation: int
    term: int
    sent_ms: int
