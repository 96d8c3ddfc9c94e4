"""Celery beat's scheduler, with one extra: entries are fanned out over symbols and nodes."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from kombu.exceptions import KombuError

from beat_schedule.backlog import waiting
from beat_schedule.dispatcher import Dispatcher
from beat_schedule.entries import FAST_CYCLE
from beat_schedule.fan_out import Message, fan_out
from beat_schedule.fixed_rate import fixed_rate
from beat_schedule.spread import Spread
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

    The symbols of a cycle do not fall due all at once: beyond a few they come in slices, spread evenly over the period.
    A node that cannot keep up is sent its slices in turn, as fast as it takes them.

    Every 25 ms it looks at membership; symbols that move are dispatched at once, and all of them by a beat that takes
    the lead.
    """

    def __init__(self, *args: Any, lazy: bool = False, **kwargs: Any) -> None:
        self.settings: Settings = load()
        self.dispatcher = Dispatcher(self.settings, name=str(Owner.start(f"beat@{socket.gethostname()}")))
        self._outage = Outage("the broker", logger)
        self._next_look = 0.0
        self._spreads: dict[str, Spread] = {}
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
            self._next_look = time.monotonic() + LOOK_EVERY_S
        for spread in self._spreads.values():
            self._step(spread)
        try:
            wait: float = super().tick(*args, **kwargs)
        except self._unreachable as error:
            self._outage.failed(error)
            metrics.redis_errors.labels("dispatch").inc()
            self._heap = None  # Celery had taken the entry out and could not put it back
            wait = LOOK_EVERY_S
        steps = (spread.steps[0][0] for spread in self._spreads.values() if spread.steps)
        return max(min(wait, min([self._next_look, *steps]) - time.monotonic()), 0)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send one due entry, if we lead."""
        if not self.leading:
            return
        task = self.app.tasks.get(entry.task)
        if not getattr(task, "fan_out", False):
            super().apply_entry(entry, producer=producer)
            return
        metrics.cycles.labels(entry.name).inc()
        if entry.name not in self._spreads:
            self._spreads[entry.name] = Spread.of(entry, task, self.settings)
        self._spreads[entry.name].begin(entry, time.monotonic())
        self._step(self._spreads[entry.name], producer)

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
        connection = self.connection
        return (KombuError, *connection.connection_errors, *connection.channel_errors)

    def _disconnect(self) -> None:
        # Closing would wait for an answer; and who goes on with it may get the answer to an older question.
        self.connection.collect()
        for made_anew in ("producer", "connection"):
            self.__dict__.pop(made_anew, None)

    def _step(self, spread: Spread, producer: Any = None) -> None:
        """Send the slices whose time has come, and those that still wait, to whoever owns their symbols by now."""
        if not self.leading:
            spread.steps.clear()
        due = spread.pop_due(time.monotonic())
        if not due:
            return
        owners, turns = self._owners(), spread.turns
        lost = sum(turns.fall_due(number, owners) for number in due)
        if lost:
            metrics.cycles_skipped.labels(spread.entry.name, "backlog").inc(lost)
        self._send(
            spread.entry,
            lambda sending: turns.take(owners, self._room(turns.nodes(), spread.most_waiting, sending)),
            producer,
        )

    def _look(self) -> None:
        if not self.settings.nt_enable_multi_instance:
            self.dispatcher.read_clock()
            return
        led = self.dispatcher.leading
        moved: Mapping[str, Owner] = {move.symbol: move.target for move in self.dispatcher.look()}
        if self.dispatcher.leading and not led:
            moved = self.dispatcher.owners  # nobody led for a while, so the last cycle may not have been sent
        if moved and FAST_CYCLE in self.schedule:
            most = self.settings.nt_max_tasks_per_cycle

            def with_room(producer: Any) -> list[Message]:
                room = self._room(set(moved.values()), 2 * most, producer)
                return [message for message in fan_out(moved, most) if room[message.owner] > 0]

            self._send(self.schedule[FAST_CYCLE], with_room)

    def _owners(self) -> Mapping[str, Owner]:
        if not self.settings.nt_enable_multi_instance:
            return dict.fromkeys(self.settings.symbols, Owner(ALONE, ALONE))
        return self.dispatcher.owners

    def _room(self, nodes: Iterable[Owner], most: int, producer: Any) -> dict[Owner, int]:
        """How many messages each node's queue takes before ``most`` wait there."""
        nodes = list(nodes)
        queues = [self.app.amqp.queues[node.node] for node in nodes]
        lengths = waiting(producer.channel, queues, amqp=self.connection.transport.driver_type == "amqp")
        return {node: most - length for node, length in zip(nodes, lengths, strict=True)}

    def _send(self, entry: ScheduleEntry, choose: Callable[[Any], list[Message]], producer: Any = None) -> None:
        """Send what ``choose`` gives, in one batch. What cannot be sent now is dropped and counted: the next cycle is
        near."""
        task = self.app.tasks[entry.task]
        tick = Tick(
            owner="",
            generation=self.dispatcher.generation,
            term=self.dispatcher.term,
            due_ms=self.dispatcher.clock.now_ms(),
        )
        try:
            producer = producer or self.producer
            messages = choose(producer)
            if not messages:
                return
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
            self._disconnect()
            self._outage.failed(error)
            metrics.cycles_skipped.labels(entry.name, "broker").inc()
        else:
            self._outage.over()
            metrics.messages_sent.inc(len(messages))
