"""The dispatcher's connection to the broker: how much waits in the nodes' queues, and sending to them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from celery import Celery
from celery.beat import ScheduleEntry
from kombu.exceptions import KombuError

from beat_schedule.slices import Message
from tickfence.coordination.dispatch import Dispatch
from tickfence.coordination.owner import Owner
from tickfence.monitoring import dispatcher_metrics as metrics
from tickfence.redis_access.outage import Outage
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

# AMQP 0-9-1, section 1.7.2: class and method of queue.declare and of its answer; py-amqp's letters for the arguments
# ticket, queue, passive, durable, exclusive, auto-delete, no-wait and arguments.
_DECLARE, _DECLARE_OK, _FIELDS = (50, 10), (50, 11), "BsbbbbbF"


class Broker:
    """The broker, as one dispatcher uses it. No call waits for a broker that is away, and none raises because of it.

    After a failure the connection is closed, and the next try is not made before a short while.

    Args:
        app: the Celery application.
        settings: the process's settings.
    """

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._connection: Any = None
        self._producer: Any = None
        self._unreachable: tuple[type[Exception], ...] = ()
        self._outage = Outage("the broker", logger)
        self._next_try = 0.0
        if settings.celery_broker_url.startswith("redis"):
            # A broker that hangs must not cost the lead.
            waits = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), settings.nt_leader_ttl_ms / 3000)
            app.conf.broker_transport_options = {**app.conf.broker_transport_options, **waits}

    @property
    def ready(self) -> bool:
        """Whether a call would be tried now: the last failure is long enough ago. Every try may cost a time-out."""
        return time.monotonic() >= self._next_try

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
            self._next_try = time.monotonic() + self._outage.failed(error)
            return None
        self._outage.over()
        return answer

    def backlog(self, nodes: Iterable[Owner]) -> dict[Owner, int] | None:
        """How many messages wait in each node's queue; ``None`` if the broker cannot be reached."""
        nodes = list(nodes)
        queues = [self._app.amqp.queues[node.node] for node in nodes]

        def ask(producer: Any) -> list[int]:
            amqp = self._connection.transport.driver_type == "amqp"
            return queue_lengths(producer.channel, queues, amqp=amqp)

        lengths = self.call(ask)
        return None if lengths is None else dict(zip(nodes, lengths, strict=True))

    def send(self, messages: Sequence[tuple[ScheduleEntry, Message]], dispatch: Dispatch) -> None:
        """Send all messages in one batch. What cannot be sent now is dropped and counted: the next cycle is near.

        Args:
            messages: each with the entry whose task it is for.
            dispatch: what goes with each; its owner is filled in.
        """
        if not messages:
            return

        def publish(producer: Any) -> bool:
            with producer.batch():
                for entry, (owner, symbols) in messages:
                    self._app.tasks[entry.task].apply_async(
                        (symbols, dispatch._replace(owner=str(owner))),
                        queue=owner.node,
                        producer=producer,
                        retry=False,
                        **entry.options,
                    )
            return True

        if self.call(publish):
            metrics.messages_sent.inc(len(messages))
        else:
            for name in {entry.name for entry, _ in messages}:
                metrics.cycles_skipped.labels(name, "broker").inc()

    def close(self) -> None:
        """Close the connection. Celery does so from a signal handler, so perhaps in the middle of a call."""
        # Not by release(): closing in order would wait for an answer. And not to be used again: the next call could
        # read the answer to an earlier one.
        if self._connection is not None:
            self._connection.collect()
        self._connection = self._producer = None


def queue_lengths(channel: Any, queues: Sequence[Any], *, amqp: bool) -> list[int]:
    """How many messages wait in each queue, in one round trip for all of them.

    On AMQP each queue is declared, just as its consumer does: the answer tells the number, and a queue that is missing
    is no error.

    Args:
        channel: of the transport; if it raises, an AMQP channel must not be used any more, since answers may be on
            their way.
        queues: of type :class:`kombu.Queue`.
        amqp: whether the transport is AMQP; else it is Redis.

    Raises:
        Exception: what ``channel`` raises.
    """
    if not amqp:
        with channel.conn_or_acquire() as client:  # the connection that messages are sent over
            pipe = client.pipeline(transaction=False)
            for queue in queues:
                pipe.llen(queue.name)
            return [int(length) for length in pipe.execute()]
    for queue in queues:
        as_consumed = (False, queue.durable, queue.exclusive, queue.auto_delete, False, queue.queue_arguments)
        channel.send_method(_DECLARE, _FIELDS, (0, queue.name, *as_consumed))
    answers = [channel.wait(_DECLARE_OK, returns_tuple=True) for _ in queues]
    return [int(messages) for _, messages, _ in answers]
