"""Celery beat's scheduler, with one extra: entries are fanned out over symbols and nodes."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery
from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from celery.utils.functional import is_numeric_value
from kombu.exceptions import SerializationError

from beat_schedule.broker import Broker
from beat_schedule.dispatcher import Dispatcher
from beat_schedule.pending import PendingSlices
from beat_schedule.schedule import FAST_CYCLE
from beat_schedule.slices import Message, SlicedCycle, fan_out
from tickfence.coordination.dispatch import Dispatch
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.monitoring import dispatcher_metrics as metrics
from tickfence.monitoring import exporter, logs
from tickfence.monitoring.garbage import collect_less
from tickfence.monitoring.hang_guard import CONNECTING_S, HangGuard
from tickfence.settings import Settings, load

logger = logging.getLogger(__name__)

HURRIED_POLL_EVERY_S, POLL_EVERY_S, STAND_BY_POLL_EVERY_S = 0.025, 0.05, 0.1
KEEP_CONNECTED_EVERY_S = 1.0
ASK_EVERY_S = 1.0
"""An entry is asked this often at least whether it is due: the clock may be set, or the entry edited in place."""
TURN_MS = 100
"""Shards that share a node which cannot keep up take turns of this length, by the Redis server's clock."""
DEFAULT_METRICS_PORT = 9111


class HRWScheduler(Scheduler):
    """What ``celery -A tasks beat`` runs.

    The schedule is Celery's own. If an entry's task says ``fan_out = True``, each run of the entry becomes messages
    for all symbols, sent to the queues of the nodes that own them. Any other entry is sent as it is. Any number of
    beats may run. The leader sends everything, and the others stand by; with ``NT_DISPATCH_SHARDS`` above 1, all of them
    send, each for its shards of the symbols.

    Not all symbols of a cycle fall due at once: beyond a few they come in slices, spread evenly over the period. A
    node that cannot keep up is sent its slices in turn, as fast as it works on them.

    Membership is polled every 50 ms, and every 100 ms by a stand-by; every 25 ms while a node or the leader may be dead,
    or slices wait for a node. Symbols that move are dispatched
    at once; a beat that begins to send for a shard dispatches all its symbols at once.

    Args:
        app: the Celery application.
        args: as for :class:`celery.beat.Scheduler`.
        lazy: whether it is made to be looked at only (``celery inspect``); then nothing is started.
        kwargs: as for :class:`celery.beat.Scheduler`.
    """

    def __init__(self, app: Celery, *args: Any, lazy: bool = False, **kwargs: Any) -> None:
        self.settings: Settings = load()
        self._broker = Broker(app, self.settings)
        name = str(Owner.start(self.settings.process_name("beat")))
        self.dispatcher = Dispatcher(self.settings, self._broker, name)
        self._hang_guard = HangGuard(self.settings.nt_hang_exit_s)
        self._pending: dict[int, PendingSlices] = {}  # by shard
        self._cycles: dict[int, dict[str, SlicedCycle]] = {}  # by shard and entry
        self._next_poll = 0.0
        self._next_keep_connected = 0.0
        self._ask_again: dict[str, tuple[ScheduleEntry, float]] = {}  # by name: one that is not due, until when
        if not lazy:
            self._start()
        super().__init__(app, *args, lazy=lazy, **kwargs)
        if not lazy:
            collect_less()

    def _start(self) -> None:
        settings = self.settings
        logs.configure(settings.nt_log_level, role="beat", beat=settings.process_name("beat"))
        modes = {"multi_instance": settings.nt_enable_multi_instance, "kv_reports": settings.nt_enable_kv_reports}
        logger.info("starting", extra=modes)
        # Computed at each scrape: a dispatcher that hangs cannot report that its lead has run out.
        metrics.leading.set_function(lambda: self.dispatcher.leading)
        port = DEFAULT_METRICS_PORT if settings.nt_metrics_port is None else settings.nt_metrics_port
        exporter.serve(port, settings.nt_metrics_host, metrics.registry, settings.nt_metrics_allowed_hosts)

    def tick(self) -> float:
        """Poll membership if it is time, run the entries that are due, send; return the seconds to sleep."""
        self._hang_guard.alive(0.0 if self.dispatcher.connected and self._broker.connected else CONNECTING_S)
        if time.monotonic() >= self._next_poll:
            self._send_urgent(self.dispatcher.poll())
            self._next_poll = time.monotonic() + self._poll_every_s
        next_entry = self._run_entries()
        self._send_due_slices()
        self._keep_connected()
        wake_at, owners = min(self._next_poll, next_entry), self.dispatcher.owners
        for shard in self.dispatcher.shards:
            for cycle in self._cycles.get(shard, {}).values():
                wake_at = min(wake_at, cycle.next_due(owners) or wake_at)
        return max(wake_at - time.monotonic(), 0)

    @property
    def _poll_every_s(self) -> float:
        if self.dispatcher.in_a_hurry or any(pending.nodes() for pending in self._pending.values()):
            return HURRIED_POLL_EVERY_S
        return POLL_EVERY_S if self.dispatcher.shards or self.dispatcher.leading else STAND_BY_POLL_EVERY_S

    def _run_entries(self) -> float:
        """Run the entries that are due; return when to ask the next one (monotonic seconds).

        An entry stays due until the broker can be reached. Celery's own loop counts an entry's next run from the end
        of the sending. This one asks the schedule, whose grid does not depend on how long that took.
        """
        now = time.monotonic()
        next_ask = now + self.max_interval
        for entry in list(self.schedule.values()):
            asked, ask_at = self._ask_again.get(entry.name, (None, 0.0))
            if asked is not entry or ask_at <= now:
                due, ask_at = self._is_due(entry, now)
                if due:
                    self._run_entry(entry)
                else:
                    self._ask_again[entry.name] = entry, ask_at
            next_ask = min(next_ask, ask_at)
        return next_ask

    def _is_due(self, entry: ScheduleEntry, now: float) -> tuple[bool, float]:
        """Whether an entry is due, and when to ask again. One that cannot tell does not stop the others."""
        try:
            due, next_s = self.is_due(entry)
        except Exception:
            logger.exception("cannot tell when %s is due, trying again in %s s", entry.name, self.max_interval)
            return False, now + self.max_interval
        return due, now + min(next_s if is_numeric_value(next_s) else self.max_interval, ASK_EVERY_S)

    def _run_entry(self, entry: ScheduleEntry) -> None:
        """Run an entry, unless the broker cannot be reached. One that cannot be run does not stop the others."""
        try:
            self._broker.call(lambda producer: self.apply_entry(self.reserve(entry), producer))
        except Exception:
            logger.exception("cannot run %s (%s)", entry.name, entry.task)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Begin the cycle of an entry that is due, or send the entry if it is not fanned out and we lead.

        A stand-by begins its cycles too, so that a new leader goes on in the middle of one. Celery's own method logs what
        the broker raises; this one raises it.
        """
        task = self.app.tasks.get(entry.task)
        if not getattr(task, "fan_out", False):
            if not self.dispatcher.leading:
                return
            logger.info("sending %s (%s)", entry.name, entry.task)
            try:
                self.apply_async(entry, producer=producer, advance=False)
            except SchedulingError as error:
                cause = error.__context__
                # Kombu counts an argument that cannot be serialized among its errors, but the broker is well.
                raise error if cause is None or isinstance(cause, SerializationError) else cause from None
            return
        if self.dispatcher.leading:
            metrics.cycles.labels(entry.name).inc()
        now, count = time.monotonic(), self.dispatcher.shard_count
        if len(self._cycles) != count:
            self._cycles = {shard: {} for shard in range(count)}
            self._pending = {}  # what waits has cycles of other symbols
        for shard, cycles in self._cycles.items():
            if entry.name not in cycles:
                cycles[entry.name] = SlicedCycle.of(entry, task, self._limit, shard, count)
            cycles[entry.name].begin(entry, self.dispatcher.symbols, now)

    def close(self) -> None:
        """Resign, and close all connections."""
        self._hang_guard.stop()
        self.dispatcher.close()
        self._broker.close()
        super().close()

    @property
    def _limit(self) -> int:
        """How many messages a node may get in a cycle, of each shard."""
        return max(1, self.settings.nt_max_tasks_per_cycle // self.dispatcher.shard_count)

    def _send_due_slices(self) -> None:
        """Send the slices that are due, and those that still wait, to the owners that their symbols have by now."""
        now, shards, owners = time.monotonic(), self.dispatcher.shards, self.dispatcher.owners
        due = {
            shard: [(cycle, phase) for cycle in cycles.values() for phase in cycle.pop_due(now)]
            for shard, cycles in self._cycles.items()
        }
        self._pending = {shard: self._pending.get(shard) or PendingSlices() for shard in shards}
        waiting = {}
        for shard, pending in self._pending.items():
            for cycle, phase in due.get(shard, ()):
                if lost := pending.add(cycle, phase, owners):
                    metrics.cycles_skipped.labels(cycle.entry.name, "backlog").inc(lost)
            if nodes := pending.nodes():
                waiting[shard] = nodes
        backlog = self._broker.backlog({node for nodes in waiting.values() for node in nodes}) if waiting else None
        if backlog is None:
            return
        turn = self.dispatcher.clock.now_ms() // TURN_MS % self.dispatcher.shard_count
        for shard in waiting:
            taken = self._pending[shard].take(owners, backlog, turn=shard == turn)
            self._send([(cycle.entry, message) for cycle, message in taken], shard)
            for _, message in taken:
                backlog[message.owner] += 1

    def _keep_connected(self) -> None:
        """Use the connection to the broker also when there is nothing to send, so that it stands when there is.

        To resolve the broker's name may take seconds, RabbitMQ ends a connection on which nothing is said, and it is
        better to know in advance that a stand-by cannot reach its broker.
        """
        now = time.monotonic()
        if now < self._next_keep_connected:
            return
        self._next_keep_connected = now + KEEP_CONNECTED_EVERY_S
        if nodes := self.dispatcher.nodes:
            self._broker.backlog(nodes)

    def _send_urgent(self, urgent: Mapping[int, Mapping[Instrument, Owner]]) -> None:
        """Send the symbols that cannot wait for their cycle: shard -> symbol -> owner."""
        if FAST_CYCLE not in self.schedule or not urgent:
            return
        limit = self._limit
        backlog = self._broker.backlog({owner for owners in urgent.values() for owner in owners.values()})
        if backlog is None:
            return
        entry = self.schedule[FAST_CYCLE]
        for shard, owners in urgent.items():
            messages = [one for one in fan_out(owners, limit) if backlog.get(one.owner, 2 * limit) < 2 * limit]
            self._send([(entry, one) for one in messages], shard)

    def _send(self, messages: Sequence[tuple[ScheduleEntry, Message]], shard: int) -> None:
        dispatcher = self.dispatcher
        term = dispatcher.shards.get(shard)
        if messages and term is not None:
            dispatch = Dispatch("", dispatcher.generation, term, dispatcher.clock.now_ms(), shard)
            self._broker.send(messages, dispatch)
