"""The batch workers: what their queues are called, and which of them live."""

from __future__ import annotations

from typing import Any

from tickfence.coordination.live_members import live_members
from tickfence.coordination.membership import NodeRecord
from tickfence.settings import Settings

QUEUE_SUFFIX = ".batch"

PATIENCE = 5
"""A batch worker gives way to everything else on its host, so it may be silent for five times as long as a node."""


def is_batch_queue(name: str) -> bool:
    """Whether the queue called ``name`` is that of a batch worker.

    Example:
        >>> is_batch_queue("node-001.batch"), is_batch_queue("node-001")
        (True, False)
    """
    return name.endswith(QUEUE_SUFFIX)


def live_batch_workers(client: Any, settings: Settings) -> list[NodeRecord]:
    """Return the records of the batch workers that live and take messages, by id.

    Raises:
        redis.exceptions.RedisError: Redis cannot be reached.
    """
    ttl_ms = PATIENCE * settings.nt_heartbeat_ttl_ms
    found = live_members(client, settings.keys.batch_worker_group, ttl_ms)
    return [worker for worker in found if not worker.drained]
