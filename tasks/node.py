"""This process as a node: its symbols, their leases and writes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from celery import Celery

from tasks.extensions import Extensions
from tasks.member import Member
from tasks.reporter import Reporter
from tasks.symbol_events import Event, Kind
from tasks.symbol_history import SymbolHistory
from tasks.symbol_log import SymbolLog
from tasks.writers import UnfencedWriter, Writer
from tickfence.analytics.extensions import installed
from tickfence.coordination.dispatch import ALONE, Dispatch
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument, parse_instrument
from tickfence.monitoring import node_metrics as metrics
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.outage import Outage
from tickfence.redis_access.scripts import send
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

FORGET_AFTER_S = 30.0


class Node(Member):
    """One start of a worker process, which owns symbols.

    Attributes:
        symbols: reporter of every symbol that this node has worked on lately.
        writer: how its writes are sent. Another one takes effect for symbols that come after.
        extensions: the sections of other packages; None without any. As the writer.
        outage: failures to reach the data plane in the course of a task.
        lock: held while a task works on the symbols; pools other than solo run several tasks at once.

    Args:
        settings: of the process.
        node_id: id of the node; its queue's name as well.
    """

    role = "node"
    perishable = True
    metrics_port = 9101
    registry = metrics.registry
    refused_pools = dict.fromkeys(
        ("prefork", "processes"), "a node's processes would share its leases; accepted are solo (default) and threads"
    )

    def __init__(self, settings: Settings, node_id: str) -> None:
        super().__init__(settings, node_id, settings.keys.node_group)
        self.symbols: dict[Instrument, Reporter] = {}
        self.writer = (Writer if self.fenced else UnfencedWriter)(self.owner, settings)
        found = installed()
        self.extensions: Extensions | None = None
        if found.sections or found.bad:
            self.extensions = Extensions(found, node_id, settings.nt_section_budget_ms)
        self.lock = threading.RLock()
        self.outage = Outage("the data plane for this cycle's reports", logger)
        self._log = SymbolLog(settings.redis_url, settings.keys, node_id)
        self._terms: dict[int, int] = {}  # shard of dispatch -> its newest term
        self._time_asked = -1.0
        self._forgot = time.monotonic()
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
            history = SymbolHistory(
                symbol, settings.keys, str(self.owner), interval_ms=interval_ms, rows=rows, note=self._log
            )
            lease = self.writer.lease(symbol)
            reporter = Reporter(
                symbol,
                settings.keys,
                lease,
                history,
                carry_every_s=every_s,
                note=self._log,
                extensions=self.extensions,
            )
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

    def prepare(self, app: Celery) -> None:
        """Its queue keeps no message once it is delivered."""
        app.amqp.queues.add(app.amqp.perishable_queue(self.owner.node))

    def on_heartbeat(self) -> None:
        """Show when the last one was. A series at 0 before the first one would look like a heartbeat in 1970."""
        metrics.node_heartbeat.labels(self.owner.node).set_to_current_time()

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
            if dispatch.term < self._terms.get(dispatch.shard, 0):
                return "old term"
            self._terms[dispatch.shard] = dispatch.term
        elif dispatch.owner != str(Owner(ALONE, ALONE)):
            return "other owner"
        if self.clock.now_ms() > dispatch.sent_ms + period_ms:
            return "late"
        return None
