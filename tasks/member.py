"""This process as one of a group of workers: its id, its registration, its connection to the data plane."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from celery import Celery

from tasks.work import MAX_PROBE_LENGTH, Work
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import Registration
from tickfence.keys import Group
from tickfence.monitoring.hang_guard import HangGuard
from tickfence.monitoring.registry import RoleRegistry
from tickfence.redis_access.connect import connect, forget_connections
from tickfence.settings import Settings

logger = logging.getLogger(__name__)


class Member:
    """One start of a worker process. Subclasses say what it works on.

    Attributes:
        owner: id and incarnation, as leases, assignments and messages name it; the id is its queue's name as well.
        clock: the Redis server's time.
        work: what the main thread is doing.
        hang_guard: ends this process when its main thread hangs.
        role: what its log calls it.
        perishable: whether what waits in its queue is worth nothing after a while without the broker.
        metrics_port: its default ``NT_METRICS_PORT``.
        registry: its metrics.
        refused_pools: name of a pool of Celery -> why it cannot work in it.

    Args:
        settings: of the process.
        name: its id.
        group: the keys of the processes that it registers among.
        patience: how many times as long as a node it may be silent, and as rarely it sends heartbeats.
    """

    role: ClassVar[str]
    perishable: ClassVar[bool]
    metrics_port: ClassVar[int]
    registry: ClassVar[RoleRegistry]
    refused_pools: ClassVar[Mapping[str, str]]

    def __init__(self, settings: Settings, name: str, group: Group, *, patience: int = 1) -> None:
        self.settings = settings
        self.owner = Owner.start(name)
        self.clock = ServerClock()
        self.work = Work()
        self.hang_guard = HangGuard(settings.nt_hang_exit_s)
        self._group, self._patience = group, patience
        self._client: Any = None
        self._client_pid = 0
        self._registration: Registration | None = None
        self._announced = False

    @property
    def client(self) -> Any:
        """The data plane. A forked pool process gets its own connection."""
        if self._client is None or self._client_pid != os.getpid():
            self._client = connect(self.settings.redis_url, name=f"work:{self.owner.node}")
            self._client_pid = os.getpid()
        return self._client

    def forget_connections(self) -> None:
        """Close the data plane's connections; the next command opens new ones."""
        if self._client is not None:  # a cluster's client does not exist before a node has answered
            forget_connections(self._client)

    def prepare(self, app: Celery) -> None:
        """Set up this process, and tell Celery what its queue is like.

        Raises:
            ValueError, ImportError: this process cannot work. The text is the one line to show.
        """
        raise NotImplementedError

    def on_heartbeat(self) -> None:
        """A heartbeat was accepted; called from another thread."""

    def register(self, metrics_url: str, on_replaced: Any) -> None:
        """Register the id and keep it registered. There is no work before :meth:`announce`.

        Args:
            metrics_url: where its metrics are, for operators; "" where they are nowhere.
            on_replaced: called once, from another thread, when another process has taken the id over.

        Raises:
            tickfence.coordination.registration.NodeIdInUse: another live worker has it.
            redis.exceptions.RedisError: Redis cannot be reached.
        """
        registration = Registration(
            self.settings.redis_url,
            self._group,
            self.owner,
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "started_at": int(time.time() * 1000),
                "metrics_url": metrics_url,
                "weight": self.settings.nt_node_weight,
            },
            interval_ms=self._patience * self.settings.nt_heartbeat_interval_ms,
            ttl_ms=self._patience * self.settings.nt_heartbeat_ttl_ms,
            clock=self.clock,
            on_replaced=on_replaced,
            on_heartbeat=self.on_heartbeat,
            status=self.work.status,
        )
        registration.register()
        self._registration = registration

    def announce(self) -> None:
        """Get work from now on."""
        if self._registration is not None:
            self._announced = True
            self._registration.announce()

    def suspend(self) -> None:
        """Get no work until :meth:`resume`: the process lives, but cannot work."""
        if self._registration is not None:
            self._registration.withdraw()

    def resume(self) -> None:
        """End a :meth:`suspend`. Does nothing before the first :meth:`announce`."""
        if self._registration is not None and self._announced:
            self._registration.rejoin()
            self._hurry()

    def drained(self, drained: bool) -> None:
        """Tell at once whether the process takes messages, so that its work moves, or comes back."""
        if drained != self.work.drained:
            logger.info("drained: no messages until add_consumer" if drained else "drained no more")
            self.work.drained = drained
            self._hurry()

    def answer(self, probe_id: str) -> None:
        """Tell at once that the main thread has taken a probe message."""
        self.work.probe = probe_id[:MAX_PROBE_LENGTH]
        self._hurry()

    def _hurry(self) -> None:
        if self._registration is not None:
            self._registration.hurry()

    def leave(self) -> None:
        """Give the id up. Safe to call from a signal handler, and twice."""
        if self._registration is not None:
            self._registration.leave()

    def release(self) -> None:
        """Release every lease that this process still holds, at its end."""
