"""This process as a batch worker: ``celery -A tasks worker -Q node-001.batch``.

It makes reports again from recorded data, a partition at a time, and gives way to everything else on its host. It is no
node: it registers among the batch workers, owns no symbol, and a node's queue never holds its work.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from celery import Celery

from tasks.member import Member
from tickfence.batch.workers import PATIENCE, QUEUE_SUFFIX, is_batch_queue
from tickfence.monitoring import batch_metrics
from tickfence.recordings.extra import load
from tickfence.settings import NODE_ID, Settings

logger = logging.getLogger(__name__)

NICE = 19


def choose_batch_worker(queues: Sequence[str]) -> str | None:
    """The batch worker's id, which is its queue's name; ``None`` if the queues are not a batch worker's.

    Args:
        queues: given with ``-Q``.

    Raises:
        ValueError: a batch worker's queue is not the only one, or its name cannot be used.
    """
    given = [queue for queue in queues if is_batch_queue(queue)]
    if not given:
        return None
    if len(queues) > 1:
        raise ValueError(
            f"-Q {','.join(queues)}: a batch worker takes from its own queue alone, like -Q node-001.batch"
        )
    [name] = given
    if not NODE_ID.fullmatch(name) or name == QUEUE_SUFFIX:
        raise ValueError(f"-Q {name}: a batch worker's queue must match {NODE_ID.pattern}, like node-001.batch")
    return name


class BatchWorker(Member):
    """One start of a batch worker.

    Attributes:
        stopping: whether it is to stop, so that it gives back what it works on.

    Args:
        settings: of the process.
        name: its id.
    """

    role = "batch worker"
    perishable = False
    metrics_port = 9141
    registry = batch_metrics.registry
    refused_pools = dict.fromkeys(
        ("prefork", "processes", "threads", "thread", "gevent", "eventlet"),
        "a batch worker works on one partition; accepted is solo (default). Start several workers for more",
    )

    def __init__(self, settings: Settings, name: str) -> None:
        super().__init__(settings, name, settings.keys.batch_worker_group, patience=PATIENCE)
        self.stopping = False

    def prepare(self, app: Celery) -> None:
        """Let every other process of the host run first. The queue keeps a message until it is acknowledged."""
        load("recording")
        import_module("tasks.rebuild")  # now, and not when the first partition waits for it
        os.nice(NICE)
        app.amqp.queues.add(app.amqp.queues.new_missing(self.owner.node))
        app.conf.broker_heartbeat = 0  # none is sent while a partition is made

    def rebuild(self, *arguments: Any) -> Iterator[Any]:
        """Make reports again; arguments as of :func:`tasks.rebuild.rebuild`."""
        # With pyarrow, which a node does without.
        return import_module("tasks.rebuild").rebuild(*arguments, slow_period_ms=self.settings.nt_slow_period_ms)

    def leave(self) -> None:
        """Give the id up, and the partition as soon as its next report is made."""
        self.stopping = True
        super().leave()
