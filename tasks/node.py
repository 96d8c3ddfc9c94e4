"""This process as a node: who it is, what it holds, and its connection to the data plane."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import Any

from tasks.conflict_events import ConflictEvents
from tasks.warm_symbol import WarmSymbol
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.dispatch import ALONE, Dispatch
from tickfence.coordination.lease import queue_release
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import Registration
from tickfence.instrument import Instrument
from tickfence.monitoring import node_metrics as metrics
from tickfence.redis_access.connect import connect, forget_connections
from tickfence.redis_access.errors import UNAVAILABLE
from tickfence.redis_access.outage import Outage
from tickfence.redis_access.scripts import execute
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

FORGET_AFTER_S = 30.0


class Node:
    """One start of a worker process.

    Attributes:
        owner: node id and incarnation; what leases, assignments and messages name.
        clock: the Redis server's time.
        symbols: warm state of every symbol this node has written lately.
        outage: failures to reach the data plane in the course of a task.
        conflicts: tells of leases that were refused.
        lock: held while a task works on the symbols; pools other than solo run several tasks at once.
    """

    def __init__(self, settings: Settings, node_id: str) -> None:
        self.settings = settings
        self.owner = Owner.start(node_id)
        self.clock = ServerClock()
        self.symbols: dict[Instrument, WarmSymbol] = {}
        self.conflicts = ConflictEvents(settings.redis_url, settings.keys, node_id)
        self.lock = threading.RLock()
        self.outage = Outage("the data plane for this cycle's reports", logger)
        self._term = 0
        self._time_asked = -1.0
        self._forgot = time.monotonic()
        self._client: Any = None
        self._client_pid = 0
        self._registration: Registration | None = None
        self._joined = False
        metrics.symbols_assigned.labels(node_id).set_function(self.assigned)

    @property
    def fenced(self) -> bool:
        """Whether writes need a lease."""
        return self.settings.nt_enable_multi_instance

    @property
    def client(self) -> Any:
        """The data plane. A forked pool process gets a connection of its own."""
        if self._client is None or self._client_pid != os.getpid():
            self._client = connect(self.settings.redis_url, name=f"work:{self.owner.node}")
            self._client_pid = os.getpid()
        return self._client

    def forget_connections(self) -> None:
        """Close the data plane's connections; the next command opens new ones."""
        if self._client is not None:  # a cluster's client does not exist before a node has answered
            forget_connections(self._client)

    def register(self, metrics_url: str, on_replaced: Any) -> None:
        """Take the node id; raises :exc:`tickfence.coordination.registration.NodeIdInUse` if another live worker has it."""
        registration = Registration(
            self.settings.redis_url,
            self.settings.keys,
            self.owner,
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "started_at": int(time.time() * 1000),
                "metrics_url": metrics_url,
                "weight": self.settings.nt_node_weight,
            },
            interval_ms=self.settings.nt_heartbeat_interval_ms,
            ttl_ms=self.settings.nt_heartbeat_ttl_ms,
            clock=self.clock,
            on_replaced=on_replaced,
            on_heartbeat=self._beaten,
        )
        registration.register()
        self._registration = registration

    def _beaten(self) -> None:
        # A series at 0 before the first one would look like a heartbeat in 1970.
        metrics.node_heartbeat.labels(self.owner.node).set_to_current_time()

    def announce(self) -> None:
        """Tell the dispatcher that this node takes symbols from now on."""
        if self._registration is not None:
            self._joined = True
            self._registration.announce()

    def rejoin(self) -> None:
        """End a :meth:`withdraw`; nothing before the first :meth:`announce`."""
        if self._registration is not None and self._joined:
            self._registration.rejoin()

    def withdraw(self) -> None:
        """Tell the dispatcher that this node cannot work for now, though it lives."""
        if self._registration is not None:
            self._registration.withdraw()

    def leave(self) -> None:
        """Tell the dispatcher that it does not any more. Safe to call from a signal handler, and twice."""
        if self._registration is not None:
            self._registration.leave()

    def release(self) -> None:
        """Give back every lease this node still holds."""
        if not self.fenced or not self.symbols:
            return
        try:
            pipe = self.client.pipeline(transaction=False)
            for symbol in self.symbols:
                queue_release(pipe, symbol, self.owner)
            released = sum(execute(pipe))
        except UNAVAILABLE as error:
            logger.warning("could not release the leases, they run out by themselves: %s", error)
        else:
            logger.info("leases released", extra={"node": self.owner.node, "count": released})

    def learn_time(self) -> None:
        """Where there are no heartbeats to learn the server's time from, ask for it, once a second."""
        asked = time.monotonic()
        if self.fenced or asked - self._time_asked < 1:
            return
        seconds, microseconds = self.client.time()
        self.clock.observe(asked, time.monotonic(), seconds * 1000 + microseconds / 1000)
        self._time_asked = asked

    def forget_old(self) -> None:
        """Drop the state of symbols that have been elsewhere for a while."""
        now = time.monotonic()
        if now - self._forgot < FORGET_AFTER_S:
            return
        self._forgot = now
        for symbol, warm in list(self.symbols.items()):
            if now - warm.granted_at > FORGET_AFTER_S:
                del self.symbols[symbol]

    def assigned(self) -> int:
        """Number of symbols whose lease was known to be this node's within the last two periods (WarmSymbol.granted_at)."""
        recent = time.monotonic() - 2 * self.settings.nt_report_period_ms / 1000
        return sum(warm.granted_at >= recent for warm in list(self.symbols.values()))

    def refusal(self, tick: Dispatch, period_ms: int) -> str | None:
        """Why a message must not be acted on, or ``None``: a tick that is not for us, or not for now, is dropped."""
        if self.fenced:
            if tick.owner != str(self.owner):
                return "other owner"
            if tick.term < self._term:
                return "old term"
            self._term = tick.term
        elif tick.owner != str(Owner(ALONE, ALONE)):
            return "other owner"
        if self.clock.now_ms() > tick.due_ms + period_ms:
            return "late"
        return None
