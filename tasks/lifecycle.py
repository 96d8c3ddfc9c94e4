"""From ``celery -A tasks worker -Q node-001`` to a registered node, and back, by Celery's own signals.

A queue whose name ends with ``.batch`` makes the worker a batch worker instead: see :mod:`tasks.batch_worker`.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from celery.signals import celeryd_init, worker_init, worker_ready, worker_shutdown, worker_shutting_down
from celery.utils.nodenames import node_format
from celery.worker import state

from tasks.batch_worker import BatchWorker, choose_batch_worker
from tasks.celery_app import app
from tasks.member import Member
from tasks.node import Node
from tickfence.batch.workers import is_batch_queue
from tickfence.coordination.dispatch import ALONE
from tickfence.coordination.registration import NodeIdInUse
from tickfence.monitoring import exporter, logs
from tickfence.monitoring.garbage import collect_less
from tickfence.monitoring.hang_guard import CONNECTING_S
from tickfence.redis_access.address import masked
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.outage import Outage
from tickfence.settings import NODE_ID, Settings, load

logger = logging.getLogger(__name__)

START_WITHIN_S = 60.0

_workers: list[Member] = []  # what this process is: nothing, or one node or batch worker


def this_worker() -> Member:
    """The node or batch worker that this process is.

    Raises:
        RuntimeError: this process is no worker.
    """
    if not _workers:
        raise RuntimeError("no worker here: one is started by `celery -A tasks worker -Q node-001`")
    return _workers[0]


def this_node() -> Node:
    """The node that this process is.

    Raises:
        RuntimeError: this process is no node.
    """
    if not _workers or not isinstance(_workers[0], Node):
        raise RuntimeError(
            "no node here: analysis tasks run in a worker, started by `celery -A tasks worker -Q node-001`"
        )
    return _workers[0]


def this_batch_worker() -> BatchWorker:
    """The batch worker that this process is.

    Raises:
        RuntimeError: this process is no batch worker.
    """
    if not _workers or not isinstance(_workers[0], BatchWorker):
        raise RuntimeError(
            "no batch worker here: partitions are computed by `celery -A tasks worker -Q node-001.batch`"
        )
    return _workers[0]


def choose_node_id(queues: list[str], settings: Settings) -> str:
    """The node id: ``NT_NODE_ID``, or else the one queue given with ``-Q``.

    Args:
        queues: given with ``-Q``.
        settings: of the process.

    Raises:
        ValueError: neither names a node, or they do not agree.
    """
    node_id = settings.nt_node_id
    if not node_id and len(queues) == 1:
        node_id = queues[0]
        if not NODE_ID.fullmatch(node_id):
            raise ValueError(f"-Q {node_id}: a node's queue is its node id, which must match {NODE_ID.pattern}")
    if not node_id:
        raise ValueError(
            f"which node is this? -Q {','.join(queues)!r} must name one queue, like -Q node-001, or set NT_NODE_ID"
        )
    if is_batch_queue(node_id):
        raise ValueError(f"NT_NODE_ID={node_id}: a name that ends with .batch is a batch worker's: -Q {node_id}")
    if queues and node_id not in queues:
        raise ValueError(
            f"NT_NODE_ID={node_id}: -Q {','.join(queues)} must name that queue: a node's queue is its node id"
        )
    return node_id


def _or_exit(handler: Callable[..., None]) -> Callable[..., None]:
    """Let a failure of a signal handler end the worker. Celery would log it and go on without a node."""

    @wraps(handler)
    def handle(**arguments: Any) -> None:
        try:
            handler(**arguments)
        except Exception as error:
            logger.exception("cannot start")
            raise SystemExit(os.EX_SOFTWARE) from error

    return handle


@celeryd_init.connect
@_or_exit
def become(instance: Any, options: dict[str, Any], **_: Any) -> None:
    """Decide which node or batch worker this is, before Celery sets up its queues."""
    settings = load()
    given = options.get("queues") or []
    queues = [q for q in (given.split(",") if isinstance(given, str) else given) if q]
    try:
        batch_worker = choose_batch_worker(queues)
        worker: Member = (
            BatchWorker(settings, batch_worker) if batch_worker else Node(settings, choose_node_id(queues, settings))
        )
        worker.prepare(app)
    except (ValueError, ImportError) as error:
        _exit(str(error))
    _workers[:] = [worker]
    if instance.hostname.startswith("celery@"):
        instance.hostname = f"{worker.owner.node}@{socket.gethostname()}"
    if not queues:
        app.amqp.queues.select([worker.owner.node])


@worker_init.connect
@_or_exit
def register(sender: Any, **_: Any) -> None:
    """Register the id, so that no second worker of this name starts to consume."""
    worker = this_worker()
    pool = sender.pool_cls if isinstance(sender.pool_cls, str) else sender.pool_cls.__module__.rpartition(".")[2]
    if pool in worker.refused_pools:
        _exit(f"worker_pool={pool}: {worker.refused_pools[pool]}")
    settings = worker.settings
    file = node_format(sender.logfile, sender.hostname) if sender.logfile else None  # Celery's own set-up comes later
    logs.configure(settings.nt_log_level, file=file, role=worker.role, node=worker.owner.node)
    logger.info(
        "starting",
        extra={
            "incarnation": worker.owner.incarnation,
            "multi_instance": settings.nt_enable_multi_instance,
            "kv_reports": settings.nt_enable_kv_reports,
        },
    )
    wanted = worker.metrics_port if settings.nt_metrics_port is None else settings.nt_metrics_port
    port = exporter.serve(wanted, settings.nt_metrics_host, worker.registry, settings.nt_metrics_allowed_hosts)
    if isinstance(worker, Node) and not worker.fenced:
        app.amqp.queues.select_add(app.amqp.perishable_queue(ALONE))
        return
    metrics_url = exporter.page_url(port, settings.nt_metrics_host)
    deadline, outage = time.monotonic() + START_WITHIN_S, Outage("the data plane", logger)
    while True:
        worker.hang_guard.alive(CONNECTING_S)
        try:
            worker.register(metrics_url, on_replaced=stop_worker)
            return
        except NodeIdInUse as error:
            _exit(str(error))
        except REDIS_ERRORS as error:
            if time.monotonic() > deadline:
                _exit(f"REDIS_URL={masked(settings.redis_url)}: no registration within {START_WITHIN_S:.0f} s: {error}")
            time.sleep(outage.failed(error))


@worker_ready.connect
def announce(**_: Any) -> None:
    """Ask for work, now that the worker consumes."""
    collect_less()
    this_worker().announce()


@worker_shutting_down.connect
def leave(**_: Any) -> None:
    """On SIGTERM, leave first of all: the work moves while this worker finishes what it has."""
    if _workers:
        this_worker().leave()


@worker_shutdown.connect
def release_leases(**_: Any) -> None:
    """At the end, release the leases: nothing is written any more."""
    if _workers:
        this_worker().leave()
        this_worker().release()


def stop_worker(reason: NodeIdInUse) -> None:
    """Stop the worker, since another process has its id now. The exit status is ``EX_UNAVAILABLE``."""
    logger.error("stopping: %s", reason)
    state.should_stop = os.EX_UNAVAILABLE


def _exit(message: str) -> None:
    logs.tell_fatal(message)
    raise SystemExit(2)
