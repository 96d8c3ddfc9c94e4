"""The dispatcher's connection to the broker: how much waits in the nodes' queues, and sending to them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from celery import Celery
from celery.app.task import extract_exec_options
from celery.beat import ScheduleEntry
from celery.utils import uuid
from kombu.exceptions import KombuError

from beat_schedule.queue_lengths import queue_lengths
from beat_schedule.slices import Message
from tickfence.coordination.dispatch import Dispatch
from tickfence.coordination.owner import Owner
from tickfence.monitoring import dispatcher_metrics as metrics
from tickfence.redis_access.errors import ResponseError, cannot_serve, not_offered
from tickfence.redis_access.outage import Outage
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

PROBE = "tasks.probe"
"""The task that a node answers by its heartbeat."""

UNREADABLE_AFTER_S = 1.5
"""A node whose queue cannot be read for this long cannot be reached, see :attr:`Broker.unreadable`."""
SENT_FOR_S = 60.0
"""For so long is it known that a node was sent a message: nodes with names of their own come and go without end."""
_SAY_EVERY_S = 60.0
_REPR_MAX = 1024
"""Characters of a message's arguments that Flower shows: as many as Celery's own."""
_NOT_PUBLISHED = frozenset(
    ("queue", "routing_key", "exchange", "expires", "ignore_result", "soft_time_limit", "time_limit")
)
"""Options of a task that are in its message, or that the owner decides; the others say how it is published."""


class Broker:
    """The broker, as one dispatcher uses it. No call waits for a broker that is away, and none raises because of it.

    After a failure the connection is closed, and the next try is not made before a short while. An error that belongs to
    one queue, whose name holds a key of another type for example, is no failure of the broker: the others go on.

    Args:
        app: the Celery application.
        settings: the process's settings.

    Attributes:
        sent: owner -> when it was last sent a message (monotonic seconds); for a minute.
        failed_at: when a call last failed (monotonic seconds); 0.0 before.
        answered_at: when a call last succeeded (monotonic seconds); 0.0 before.
    """

    def __init__(self, app: Celery, settings: Settings) -> None:
        self.sent: dict[Owner, float] = {}
        self.failed_at = self.answered_at = 0.0
        self._app = app
        self._connection: Any = None
        self._producer: Any = None
        self._unreachable: tuple[type[Exception], ...] = ()
        self._outage = Outage("the broker", logger)
        self._next_try = 0.0
        self._unreadable: dict[Owner, float] = {}  # since when (monotonic seconds)
        self._said_at: dict[str, float] = {}  # queue -> when the log was last told of its trouble
        if settings.celery_broker_url.startswith("redis"):
            # A broker that hangs must not cost the lead.
            waits = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), settings.nt_leader_ttl_ms / 3000)
            app.conf.broker_transport_options = {**app.conf.broker_transport_options, **waits}

    @property
    def connected(self) -> bool:
        """Whether its connection stands: the next call looks for no server."""
        return self._producer is not None

    @property
    def ready(self) -> bool:
        """Whether a call would be tried now: the last failure is long enough ago. Every try may cost a time-out."""
        return time.monotonic() >= self._next_try

    @property
    def failing_s(self) -> float:
        """For how long every call has failed; 0.0 while the broker answers."""
        return 0.0 if self._outage.since is None else time.monotonic() - self._outage.since

    def call(self, action: Callable[[Any], _Answer]) -> _Answer | None:
        """Do something with the broker.

        Args:
            action: gets a :class:`kombu.Producer` whose connection stands.

        Returns:
            What ``action`` returns, or ``None`` if the broker cannot be reached or could not a moment ago.
        """
        if not self.ready:
            return None
        if self._connection is None:
            self._connection = connection = self._app.connection_for_write()
            errors = (KombuError, *connection.connection_errors, *connection.channel_errors)
            self._unreachable = tuple(error for error in errors if error is not KeyError)  # kombu has it for consumers
        try:
            if self._producer is None:
                # Without retries: they would wait until the lead has run out.
                self._connection.ensure_connection(max_retries=0)
                self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)
            answer = action(self._producer)
        except self._unreachable as error:
            self.close()
            metrics.broker_errors.inc()
            self.failed_at = time.monotonic()
            self._next_try = self.failed_at + self._outage.failed(error)
            return None
        self._outage.over()
        self.answered_at = time.monotonic()
        return answer

    @property
    def unreadable(self) -> frozenset[Owner]:
        """The nodes whose queue could not be read for 1.5 s although the broker answers: no message reaches them."""
        until = time.monotonic() - UNREADABLE_AFTER_S
        return frozenset(node for node, since in self._unreadable.items() if since <= until)

    def backlog(self, nodes: Iterable[Owner]) -> dict[Owner, int] | None:
        """How many messages wait in each node's queue.

        Returns:
            Node -> number. A node whose queue cannot be read is left out: send it nothing. ``None`` if the broker cannot
            be reached.
        """
        asked = {*nodes}
        names = {node.node for node in asked}
        self._unreadable = {n: at for n, at in self._unreadable.items() if n in asked or n.node not in names}
        asked |= self._unreadable.keys()  # nobody else asks for a node that lost its symbols
        order = list(asked)
        queues = [self._app.amqp.queues[node.node] for node in order]

        def ask(producer: Any) -> list[int | ResponseError]:
            amqp = self._connection.transport.driver_type == "amqp"
            lengths = queue_lengths(producer.channel, queues, amqp=amqp)
            for queue, length in zip(queues, lengths, strict=True):
                if isinstance(length, ResponseError) and self._may_say(queue.name):
                    logger.error(
                        "the queue of a node cannot be read, so the node gets no messages",
                        extra=_key(producer.channel, queue.name) | {"error": str(length)},
                    )
            return lengths

        answers = self.call(ask)
        if answers is None:
            self._unreadable.clear()  # while the broker is away, nothing is known of any queue
            return None
        found = dict(zip(order, answers, strict=True))
        lengths = {node: length for node, length in found.items() if isinstance(length, int)}
        now = time.monotonic()
        self._unreadable = {node: self._unreadable.get(node, now) for node in order if node not in lengths}
        return lengths

    def send(self, messages: Sequence[tuple[ScheduleEntry, Message]], dispatch: Dispatch) -> None:
        """Send all messages in one batch. What cannot be sent now is dropped and counted: the next cycle is near.

        Args:
            messages: each with the entry whose task it is for.
            dispatch: what goes with each; its owner is filled in.
        """
        if not messages:
            return

        amqp, tell = self._app.amqp, self._app.conf.task_send_sent_event

        tasks = {entry.name: self._task_of(entry) for entry, _ in messages}

        def put(producer: Any, entry: ScheduleEntry, message: Message) -> None:
            # What Task.apply_async() ends with. Before that it spends as long again on what these messages do not have:
            # routes, results, parents, pydantic.
            name, content, published = tasks[entry.name]
            arguments = message.symbols, dispatch._replace(owner=str(message.owner)).to_message()
            shown = repr(arguments)[:_REPR_MAX]
            sent = amqp.create_task_message(
                uuid(), name, arguments, {}, argsrepr=shown, kwargsrepr="{}", create_sent_event=tell, **content
            )
            amqp.send_task_message(producer, name, sent, queue=message.owner.node, declare=(), retry=False, **published)

        def publish(producer: Any) -> bool:
            with self._one_queue_only(), producer.batch(max_size=len(messages) + 1):  # so that all go out at its end
                for entry, message in messages:
                    with self._one_queue_only():  # kombu asks for the length of a queue when it first sends to it
                        put(producer, entry, message)
            return True

        if self.call(publish):
            metrics.messages_sent.inc(len(messages))
            owners = {message.owner for _, message in messages}
            nodes = {owner.node for owner in owners}
            # A node that was started again is another owner; the one before gets nothing any more.
            now = time.monotonic()
            recent = {o: at for o, at in self.sent.items() if now - at < SENT_FOR_S and o.node not in nodes}
            self.sent = recent | dict.fromkeys(owners, now)
        else:
            for name in {entry.name for entry, _ in messages}:
                metrics.cycles_skipped.labels(name, "broker").inc()

    def _task_of(self, entry: ScheduleEntry) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """The name of an entry's task, the options that its messages contain, and those that say how they are published."""
        task = self._app.tasks[entry.task]
        options = {**extract_exec_options(task), "ignore_result": task.ignore_result, **entry.options}
        return task.name, options, {name: value for name, value in options.items() if name not in _NOT_PUBLISHED}

    def probe(self, owner: Owner, probe_id: str) -> bool:
        """Ask a node whether it takes messages; its heartbeat carries the answer.

        Args:
            owner: the node.
            probe_id: what it answers with.

        Returns:
            Whether the question was sent.
        """

        def put(producer: Any) -> bool:
            with self._one_queue_only():
                self._app.send_task(PROBE, (probe_id,), queue=owner.node, producer=producer, retry=False)
            return True

        return bool(self.call(put))

    def close(self) -> None:
        """Close the connection. Celery does so from a signal handler, so perhaps in the middle of a call."""
        # Not by release(): closing in order would wait for an answer. And not to be used again: the next call could
        # read the answer to an earlier one.
        if self._connection is not None:
            self._connection.collect()
        self._connection = self._producer = None

    @contextmanager
    def _one_queue_only(self) -> Iterator[None]:
        """Log an error of Redis that belongs to one queue: it carried out the other commands. Raise any other."""
        try:
            yield
        except KombuError as error:
            cause = error.__cause__
            if not isinstance(cause, ResponseError) or cannot_serve(cause):
                raise
            if self._may_say(""):
                logger.error("a message could not be put into its queue: %s", cause)

    def _may_say(self, queue: str) -> bool:
        """Whether the log may be told of a queue's trouble again: once a minute."""
        now = time.monotonic()
        if now - self._said_at.get(queue, -_SAY_EVERY_S) < _SAY_EVERY_S:
            return False
        self._said_at[queue] = now
        return True


def _key(channel: Any, queue: str) -> dict[str, str]:
    """Name and type of the key that is a queue's in a Redis broker, for the log."""
    name = f"{channel.global_keyprefix}{queue}"
    with channel.conn_or_acquire() as client:
        try:
            return {"key": name, "type": client.type(name).decode()}
        except ResponseError as error:
            if not not_offered(error):
                raise
            return {"key": name, "type": f"not known: {error}"}
