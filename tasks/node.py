"""This process as a node: its id, its symbols, and its connection to the data plane."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from tasks.reporter import Reporter
from tasks.symbol_events import Event, Kind
from tasks.symbol_history import SymbolHistory
from tasks.symbol_log import SymbolLog
from tasks.work import MAX_PROBE_LENGTH, Work
from tasks.writers import UnfencedWriter, Writer
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.dispatch import ALONE, Dispatch
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import Registration
from tickfence.instrument import Instrument, parse_instrument
from tickfence.monitoring import node_metrics as metrics
from tickfence.monitoring.hang_guard import HangGuard
from tickfence.redis_access.connect import connect, forget_connections
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.outage import Outage
from tickfence.redis_access.scripts import send
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

FORGET_AFTER_S = 30.0


class Node:
    """One start of a worker process, which owns symbols.

    Attributes:
        owner: node id and incarnation, as leases, assignments and messages name it.
        clock: the Redis server's time.
        symbols: reporter of every symbol that this node has worked on lately.
        writer: how its writes are sent. Another one takes effect for symbols that come after.
        outage: failures to reach the data plane in the course of a task.
        work: what the main thread is doing.
        hang_guard: ends this process when its main thread hangs.
        lock: held while a task works on the symbols; pools other than solo run several tasks at once.

    Args:
        settings: of the process.
        node_id: id of the node; its queue's name as well.
    """

    def __init__(self, settings: Settings, node_id: str) -> None:
        self.settings = settings
        self.owner = Owner.start(node_id)
        self.clock = ServerClock()
        self.symbols: dict[Instrument, Reporter] = {}
        self.writer = (Writer if self.fenced else UnfencedWriter)(self.owner, settings)
        self.work = Work()
        self.hang_guard = HangGuard(settings.nt_hang_exit_s)
        self.lock = threading.RLock()
        self.outage = Outage("the data plane for this cycle's reports", logger)
        self._log = SymbolLog(settings.redis_url, settings.keys, node_id)
        self._term = 0
        self._time_asked = -1.0
        self._forgot = time.monotonic()
        self._client: Any = None
        self._client_pid = 0
        self._registration: Registration | None = None
        self._announced = False
        metrics.symbols_assigned.labels(node_id).set_function(self.assigned)

    def reporter(self, symbol: Instrument) -> Reporter:
        """The reporter of ``symbol``; a cold one where there is none yet.

        Raises:
            ValueError, TypeError: that is no instrument's name.
        """
        reporter = self.symbols.get(symbol)
        if reporter is None:
            parse_instrument(symbol)
            settings = self.settings
            every_s, interval_ms = settings.nt_snapshot_interval_ms / 1000, settings.nt_history_interval_ms
            rows = -(-settings.nt_history_minutes * 60_000 // interval_ms)
            history = SymbolHistory(symbol, settings.keys, str(self.owner), interval_ms=interval_ms, rows=rows)
            lease = self.writer.lease(symbol)
            reporter = Reporter(symbol, settings.keys, lease, history, carry_every_s=every_s, note=self._log)
            self.symbols[symbol] = reporter
        return reporter

    def reporters(self, symbols: Sequence[Instrument]) -> list[Reporter]:
        """The reporters of the symbols of a message, each once; what is not a symbol is logged and left out."""
        found: dict[Instrument, Reporter] = {}
        for symbol in symbols:
            try:
                found[symbol] = self.reporter(symbol)
            except (ValueError, TypeError) as error:
                self._log(Event(Kind.NO_SYMBOL, Instrument(""), f"{symbol!r}: {error}"))
        return list(found.values())

    @property
    def fenced(self) -> bool:
        """Whether writes need a lease."""
        return self.settings.nt_enable_multi_instance

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

    def register(self, metrics_url: str, on_replaced: Any) -> None:
        """Register the node id and keep it registered. The node gets no symbols before :meth:`announce`.

        Args:
            metrics_url: where its metrics are, for operators; "" where they are nowhere.
            on_replaced: called once, from another thread, when another process has taken the node id over.

        Raises:
            tickfence.coordination.registration.NodeIdInUse: another live worker has it.
            redis.exceptions.RedisError: Redis cannot be reached.
        """
        registration = Registration(
            self.settings.redis_url,
            self.settings.keys.node_group,
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
            # A series at 0 before the first one would look like a heartbeat in 1970.
            on_heartbeat=lambda: metrics.node_heartbeat.labels(self.owner.node).set_to_current_time(),
            status=self.work.status,
        )
        registration.register()
        self._registration = registration

    def announce(self) -> None:
        """Get symbols from now on."""
        if self._registration is not None:
            self._announced = True
            self._registration.announce()

    def suspend(self) -> None:
        """Get no symbols until :meth:`resume`: the node lives, but cannot work."""
        if self._registration is not None:
            self._registration.withdraw()

    def resume(self) -> None:
        """End a :meth:`suspend`. Does nothing before the first :meth:`announce`."""
        if self._registration is not None and self._announced:
            self._registration.rejoin()
            self._hurry()

    def drained(self, drained: bool) -> None:
        """Tell at once whether the node takes messages, so that its symbols move, or come back."""
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
        """Give the node id up. Safe to call from a signal handler, and twice."""
        if self._registration is not None:
            self._registration.leave()

    def release(self) -> None:
        """Release every lease that this node still holds."""
        if not self.fenced or not self.symbols:
            return
        try:
            released = sum(send(self.client, [reporter.lease.release() for reporter in self.symbols.values()]))
        except REDIS_ERRORS as error:
            logger.warning("cannot release the leases, they expire by themselves: %s", error)
        else:
            logger.info("leases released", extra={"node": self.owner.node, "count": released})

    def learn_time(self) -> None:
        """Ask for the server's time once a second, where there are no heartbeats to learn it from."""
        asked = time.monotonic()
        if self.fenced or asked - self._time_asked < 1:
            return
        seconds, microseconds = self.client.time()
        self.clock.observe(asked, time.monotonic(), seconds * 1000 + microseconds / 1000)
        self._time_asked = asked

    def forget_old(self, now_s: float) -> None:
        """Drop the state of symbols whose lease this node has not held for 30 s; checked every 30 s.

        Args:
            now_s: monotonic seconds.
        """
        if now_s - self._forgot < FORGET_AFTER_S:
            return
        self._forgot = now_s
        for symbol, reporter in list(self.symbols.items()):
            if now_s - reporter.lease.held_at > FORGET_AFTER_S:
                del self.symbols[symbol]

    def assigned(self) -> int:
        """Number of symbols whose lease was known to be this node's within the last two periods."""
        recent = time.monotonic() - 2 * self.settings.nt_report_period_ms / 1000
        return sum(reporter.lease.held_at >= recent for reporter in list(self.symbols.values()))

    def refusal(self, dispatch: Dispatch, period_ms: int) -> str | None:
        """Why a dispatch must not be acted on, or ``None``.

        Args:
            dispatch: what came with the task's message.
            period_ms: how long it counts from when it was sent.

        Returns:
            A label of ``nt_ticks_dropped``.
        """
        if self.fenced:
            if dispatch.owner != str(self.owner):
                return "other owner"
            if dispatch.term < self._term:
                return "old term"
            self._term = dispatch.term
        elif dispatch.owner != str(Owner(ALONE, ALONE)):
            return "other owner"
        if self.clock.now_ms() > dispatch.sent_ms + period_ms:
            return "late"
        return None
