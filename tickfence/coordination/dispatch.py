"""What a dispatcher tells a node with each task message."""

from __future__ import annotations

from typing import NamedTuple

ALONE = "single"
"""Node id, and so queue, where coordination is off and one node publishes everything."""


class Dispatch(NamedTuple):
    """Why, and until when, a task message counts.

    ``owner`` is the process start it is meant for (``node/incarnation``), ``generation`` the assignment it comes
    from, ``term`` its dispatcher's, and ``due_ms`` the Redis server's time at which its turn came: at which it was sent.
    """

    owner: str
    generation: int
    term: int
    due_ms: int
