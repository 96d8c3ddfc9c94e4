"""Celery beat's scheduler, with one extra: entries are fanned out over symbols and nodes."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from celery.beat import ScheduleEntry, Scheduler
from kombu.exceptions import KombuError

from beat_schedule.backlog import waiting
from beat_schedule.dispatcher import Dispatcher
from beat_schedule.entries import FAST_CYCLE
from beat_schedule.fan_out import Message, fan_out
from beat_schedule.fixed_rate import fixed_rate
from beat_schedule.sliced_cycle import SlicedCycle
from beat_schedule.turns import Turns
from tickfence.coordination.dispatch import ALONE, Dispatch
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.monitoring import dispatcher_metrics as metrics
from tickfence.monitoring import exporter, logs
from tickfence.monitoring.garbage import collect_less
from tickfence.redis_access.outage import Outage
from tickfence.settings import Settings, load

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

LOOK_EVERY_S = 0.025
ASK_EVERY_S = 1.0
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
        self._next_ask = 0.0
        self._cycles: dict[str, SlicedCycle] = {}
        self._turns = Turns()
        self._next_send = 0.0
        self._wall = 0.0
        if not lazy:
            logs.configure(self.settings.nt_log_level, role="beat")
            logger.info(
                "starting",
                extra={
                    "multi_instance": self.settings.nt_enable_multi_instance,
                    "kv_reports": self.settings.nt_enable_kv_reports,
                },
            )
            self._measure()
            port = self.settings.nt_metrics_port
            exporter.serve(
                DEFAULT_METRICS_PORT if port is None else port, self.settings.nt_metrics_host, metrics.registry
            )
        super().__init__(*args, lazy=lazy, **kwargs)
        if not lazy:
            collect_less()
        if self.settings.celery_broker_url.startswith("redis"):
            # A broker that stands still must not cost the lead.
            waits = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), self.settings.nt_leader_ttl_ms / 3000)
            self.app.conf.broker_transport_options = {**self.app.conf.broker_transport_options, **waits}

    def _measure(self) -> None:
        # Asked for at each scrape: a dispatcher that cannot look any more is not told that its lead has run out.
        metrics.leading.set_function(lambda: self.leading)
        reports = len(self.settings.symbols) if self.settings.nt_enable_kv_reports else 0
        metrics.reports_due.set(reports * 1000 / self.settings.nt_report_period_ms)

    @property
    def leading(self) -> bool:
        return self.dispatcher.leading or not self.settings.nt_enable_multi_instance

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Look at membership if it is time, run what is due; return the seconds to sleep."""
        if time.monotonic() >= self._next_look:
            self._look()
            self._next_look = time.monotonic() + LOOK_EVERY_S
        self._step()
        self._keep_connected()
        wait = LOOK_EVERY_S
        if self._broker_is_tried:
            wait = self._celerys_tick(*args, **kwargs)
        steps = (cycle.steps[0][0] for cycle in self._cycles.values() if cycle.steps)
        return max(min(wait, min([self._next_look, *steps]) - time.monotonic()), 0)

    def _celerys_tick(self, *args: Any, **kwargs: Any) -> float:
        wall, before = self.app.now().timestamp(), self._wall
        self._wall = wall
        if wall < before:
            self._heap = None  # Celery's times are of the wall clock: until it has caught up nothing would be due
        try:
            return float(super().tick(*args, **kwargs))
        except self._unreachable as error:
            self._failed(error)
            self._heap = None  # Celery had taken the entry out and could not put it back
            return LOOK_EVERY_S

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send one due entry, if we lead."""
        if not self.leading:
            return
        task = self.app.tasks.get(entry.task)
        if not getattr(task, "fan_out", False):
            super().apply_entry(entry, producer=producer)
            return
        metrics.cycles.labels(entry.name).inc()
        if entry.name not in self._cycles:
            self._cycles[entry.name] = SlicedCycle.of(entry, task, self.settings)
        self._cycles[entry.name].begin(entry, time.monotonic())
        self._step(producer)

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
        listed = (KombuError, *connection.connection_errors, *connection.channel_errors)
        return tuple(error for error in listed if error is not KeyError)  # kombu lists it for consumers

    @property
    def _broker_is_tried(self) -> bool:
        """Whether the last failure is long enough ago; every try may cost a timeout."""
        return time.monotonic() >= self._next_send

    def _failed(self, error: Exception) -> None:
        metrics.broker_errors.inc()
        self._next_send = time.monotonic() + self._outage.failed(error)

    def _disconnect(self) -> None:
        # Closing would wait for an answer; and who goes on with it may get the answer to an older question.
        self.connection.collect()
        for made_anew in ("producer", "connection"):
            self.__dict__.pop(made_anew, None)

    def _step(self, producer: Any = None) -> None:
        """Send the slices whose time has come, and those that still wait, to whoever owns their symbols by now."""
        if not self.leading:
            self._turns.clear()
            for cycle in self._cycles.values():
                cycle.steps.clear()
            return
        now = time.monotonic()
        due = [(cycle, number) for cycle in self._cycles.values() for number in cycle.pop_due(now)]
        if not due and not self._turns.nodes():
            return
        owners = self._owners()
        for cycle, number in due:
            if lost := self._turns.fall_due(cycle, number, owners):
                metrics.cycles_skipped.labels(cycle.entry.name, "backlog").inc(lost)
        nodes = self._turns.nodes()
        if not nodes:
            return
        found = self._asked(lambda sending: self._waiting(nodes, sending), producer)
        if found is not None:
            self._send([(cycle.entry, message) for cycle, message in self._turns.take(owners, found)], producer)

    def _keep_connected(self) -> None:
        """Standing by, use the connection to the broker, so that it is there when the lead comes.

        To resolve the broker's name may take seconds, RabbitMQ ends a connection on which nothing is said, and that a
        stand-by cannot reach its broker is better known before.
        """
        now = time.monotonic()
        if self.leading or now < self._next_ask:
            return
        self._next_ask = now + ASK_EVERY_S
        if nodes := self.dispatcher.nodes:
            self._asked(lambda sending: self._waiting(nodes, sending))

    def _look(self) -> None:
        if not self.settings.nt_enable_multi_instance:
            self.dispatcher.read_clock()
            return
        led = self.dispatcher.leading
        moved: Mapping[Instrument, Owner] = {move.symbol: move.target for move in self.dispatcher.look()}
        if self.dispatcher.leading and not led:
            moved = self.dispatcher.owners  # nobody led for a while, so the last cycle may not have been sent
        if moved and FAST_CYCLE in self.schedule:
            most = self.settings.nt_max_tasks_per_cycle
            found = self._asked(lambda sending: self._waiting(set(moved.values()), sending))
            if found is not None:
                entry = self.schedule[FAST_CYCLE]
                self._send([(entry, one) for one in fan_out(moved, most) if found[one.owner] < 2 * most])

    def _owners(self) -> Mapping[Instrument, Owner]:
        if not self.settings.nt_enable_multi_instance:
            return dict.fromkeys(self.settings.symbols, Owner(ALONE, ALONE))
        return self.dispatcher.owners

    def _waiting(self, nodes: Iterable[Owner], producer: Any) -> dict[Owner, int]:
        """How many messages wait in each node's queue."""
        nodes = list(nodes)
        queues = [self.app.amqp.queues[node.node] for node in nodes]
        lengths = waiting(producer.channel, queues, amqp=self.connection.transport.driver_type == "amqp")
        return dict(zip(nodes, lengths, strict=True))

    def _send(self, messages: Sequence[tuple[ScheduleEntry, Message]], producer: Any = None) -> None:
        """Send all in one batch. What cannot be sent now is dropped and counted: the next cycle is near."""
        if not messages:
            return
        tick = Dispatch(
            owner="",
            generation=self.dispatcher.generation,
            term=self.dispatcher.term,
            due_ms=self.dispatcher.clock.now_ms(),
        )

        def send(sending: Any) -> bool:
            with sending.batch():
                for entry, (owner, symbols) in messages:
                    self.app.tasks[entry.task].apply_async(
                        (symbols, tick._replace(owner=str(owner))),
                        queue=owner.node,
                        producer=sending,
                        retry=False,
                        **entry.options,
                    )
            return True

        if self._asked(send, producer):
            metrics.messages_sent.inc(len(messages))
        else:
            for name in {entry.name for entry, _ in messages}:
                metrics.cycles_skipped.labels(name, "broker").inc()

    def _asked(self, ask: Callable[[Any], _Answer], producer: Any = None) -> _Answer | None:
        """What the broker answers, or ``None`` where it cannot be reached, or failed a moment ago."""
        if not self._broker_is_tried:
            return None
        try:
            answer = ask(producer or self.producer)
        except self._unreachable as error:
            self._disconnect()
            self._failed(error)
            return None
        self._outage.over()
        return answer
