"""Celery beat's scheduler, with one extra: entries are fanned out over symbols and nodes."""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from kombu.exceptions import KombuError

from beat_schedule.dispatcher import Dispatcher
from beat_schedule.entries import FAST_CYCLE
from beat_schedule.fan_out import Message, fan_out, slices
from beat_schedule.fixed_rate import fixed_rate
from coordination.outage import Outage
from coordination.owner import Owner
from coordination.tick import ALONE, Tick
from monitoring import dispatcher_metrics as metrics
from monitoring import exporter, logs
from settings import Settings, load

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.025
DEFAULT_METRICS_PORT = 9111


class HRWScheduler(Scheduler):
    """What ``celery -A tasks beat`` runs.

    The schedule is Celery's own. An entry whose task says ``fan_out = True`` becomes, each time it is due, one
    message for each symbol, sent to the queue of the node that owns it; any other entry is sent as it stands. Any
    number of beats may run: the leader sends, the others stand by.

    Between entries it looks at membership every 25 ms; symbols that move are dispatched at once, and all of them by a
    beat that takes the lead.
    """

    def __init__(self, *args: Any, lazy: bool = False, **kwargs: Any) -> None:
        self.settings: Settings = load()
        self.dispatcher = Dispatcher(self.settings, name=str(Owner.start(f"beat@{socket.gethostname()}")))
        self._outage = Outage("the broker", logger)
        self._next_look = 0.0
        self._messages: tuple[Any, list[Message]] = (None, [])
        self._slices: deque[tuple[float, ScheduleEntry, tuple[str, ...]]] = deque()
        if not lazy:
            logs.configure(self.settings.nt_log_level, role="beat")
            logger.info(
                "starting",
                extra={
                    "multi_instance": self.settings.nt_enable_multi_instance,
                    "kv_reports": self.settings.nt_enable_kv_reports,
                },
            )
            port = self.settings.nt_metrics_port
            exporter.serve(DEFAULT_METRICS_PORT if port is None else port, self.settings.nt_metrics_host)
        super().__init__(*args, lazy=lazy, **kwargs)

    @property
    def leading(self) -> bool:
        return self.dispatcher.leading or not self.settings.nt_enable_multi_instance

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Look at membership if it is time, run what is due; return the seconds to sleep."""
        if time.monotonic() >= self._next_look:
            self._look()
            self._send_slices()
            self._next_look = time.monotonic() + LOOK_EVERY_S
        try:
            wait: float = super().tick(*args, **kwargs)
        except self._unreachable as error:
            self._outage.failed(error)
            metrics.redis_errors.labels("dispatch").inc()
            self._heap = None  # Celery had taken the entry out and could not put it back
            wait = LOOK_EVERY_S
        return max(min(wait, self._next_look - time.monotonic()), 0)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send one due entry, if we lead."""
        if not self.leading:
            return
        task = self.app.tasks.get(entry.task)
        if not getattr(task, "fan_out", False):
            super().apply_entry(entry, producer=producer)
            return
        metrics.cycles.labels(entry.name).inc()
        if task.spread:
            self._spread(entry)
        else:
            self._send(entry, self._fanned_out(), producer)

    def adjust(self, n: float, drift: float = 0.0) -> float:
        """Celery's beat wakes 10 ms early; a fixed rate wakes on time."""
        return n + drift

    def _when(self, entry: ScheduleEntry, next_time_to_run: float, **kwargs: Any) -> float:
        # Celery counts from the end of the sending; the grid does not care how long that took.
        if next_time_to_run and isinstance(entry.schedule, fixed_rate):
            return float(entry.schedule.next_after(entry.last_run_at).timestamp())
        return float(super()._when(entry, next_time_to_run, **kwargs))

    def close(self) -> None:
        self.dispatcher.close()
        super().close()

    def _ensure_connected(self) -> Any:
        # Celery's own waits for as long as it takes, and the lead would run out meanwhile.
        return self.connection.ensure_connection(max_retries=0)

    @property
    def _unreachable(self) -> tuple[type[Exception], ...]:
        return (KombuError, *self.connection.recoverable_connection_errors)

    def _spread(self, entry: ScheduleEntry) -> None:
        """Divide a cycle's symbols over its period: a node gets one message a slice, and so no more than the cap."""
        period = entry.schedule.run_every.total_seconds()
        most = min(self.settings.nt_max_tasks_per_cycle, int(period / LOOK_EVERY_S))
        parts = slices(self.settings.symbols, max(1, most))
        now = time.monotonic()
        self._slices = deque((now + i * period / len(parts), entry, part) for i, part in enumerate(parts))

    def _send_slices(self) -> None:
        """Send the slices whose time has come to whoever owns their symbols by now."""
        while self._slices and self._slices[0][0] <= time.monotonic():
            _, entry, symbols = self._slices.popleft()
            owners = self._owners()
            held = {symbol: owners[symbol] for symbol in symbols if symbol in owners}
            if held and self.leading:
                self._send(entry, fan_out(held, most=1))

    def _look(self) -> None:
        if not self.settings.nt_enable_multi_instance:
            self.dispatcher.read_clock()
            return
        led = self.dispatcher.leading
        moved: Mapping[str, Owner] = {move.symbol: move.target for move in self.dispatcher.look()}
        if self.dispatcher.leading and not led:
            moved = self.dispatcher.owners  # nobody led for a while, so the last cycle may not have been sent
        if moved and FAST_CYCLE in self.schedule:
            self._send(self.schedule[FAST_CYCLE], fan_out(moved, self.settings.nt_max_tasks_per_cycle))

    def _fanned_out(self) -> list[Message]:
        owners = self._owners()
        if self._messages[0] != owners:
            self._messages = owners, fan_out(owners, self.settings.nt_max_tasks_per_cycle)
        return self._messages[1]

    def _owners(self) -> Mapping[str, Owner]:
        if not self.settings.nt_enable_multi_instance:
            return dict.fromkeys(self.settings.symbols, Owner(ALONE, ALONE))
        return self.dispatcher.owners

    def _unless_backlogged(self, entry: ScheduleEntry, messages: list[Message], producer: Any) -> list[Message]:
        """Leave out nodes whose queue holds two full cycles already: more would only be dropped as late, later."""
        if self.connection.transport.driver_type != "redis":
            return messages  # elsewhere, give the queues a maximum length
        room = {}
        for node in {message.owner.node for message in messages}:
            waiting = producer.channel.client.llen(node)
            room[node] = waiting < 2 * self.settings.nt_max_tasks_per_cycle
            if not room[node]:
                metrics.cycles_skipped.labels(entry.name, "backlog").inc()
        return [message for message in messages if room[message.owner.node]]

    def _send(self, entry: ScheduleEntry, messages: list[Message], producer: Any = None) -> None:
        """Send one cycle in one batch. What cannot be sent now is dropped and counted: the next cycle is near."""
        if not messages:
            return
        task = self.app.tasks[entry.task]
        tick = Tick(
            owner="",
            generation=self.dispatcher.generation,
            term=self.dispatcher.term,
            due_ms=self.dispatcher.clock.now_ms(),
        )
        try:
            producer = producer or self.producer
            messages = self._unless_backlogged(entry, messages, producer)
            with producer.batch():
                for owner, symbols in messages:
                    task.apply_async(
                        (symbols, tick._replace(owner=str(owner))),
                        queue=owner.node,
                        producer=producer,
                        retry=False,
                        **entry.options,
                    )
        except self._unreachable as error:
            self.__dict__.pop("producer", None)
            self._outage.failed(error)
            metrics.cycles_skipped.labels(entry.name, "broker").inc()
        else:
            self._outage.over()
            metrics.messages_sent.inc(len(messages))
