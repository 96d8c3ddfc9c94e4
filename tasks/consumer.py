"""The worker's consumer, made for a node that must be back within two seconds, and that nothing the broker says ends."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown

from tasks.lifecycle import this_worker
from tickfence.coordination.dispatch import ALONE
from tickfence.monitoring import node_metrics as metrics
from tickfence.monitoring.hang_guard import CONNECTING_S
from tickfence.monitoring.log_limit import LogLimit, RepeatFilter
from tickfence.redis_access.errors import cannot_serve
from tickfence.redis_access.outage import Backoff, Outage

logger = logging.getLogger(__name__)

IN_A_ROW_S = 3.0
"""A failure of the consumer's steps within this time of the last one is the same trouble."""
SAY_EVERY_S = 60.0

_NO_ACK = "no_ack"
_SAY_IT_EACH_TIME = (
    "celery.worker.consumer.consumer",
    "celery.app.trace",
    "kombu.asynchronous.hub",
    "kombu.transport.redis",
)
"""Loggers of what goes wrong with a message, with a start of the consumer, or with a call of its timers."""


class Consumer(CeleryConsumer):
    """Celery's consumer, with these changes.

    - Whatever the broker answers, the worker does not end: it hands its symbols over, says so, and tries again.
    - Reconnecting waits 0.25 s at most. Celery waits 2 s, 4 s … 30 s whatever the transport options say.
    - No mingle and no gossip. At every start, mingle waits a second for the other workers' answers. Both serve features
      that a node does not use: revoked tasks, and events between workers.
    - Messages of a ``no_ack`` queue are not acknowledged. Kombu's Redis transport does not remember them, and would
      still spend a round trip on forgetting each.
    - Messages of RabbitMQ are acknowledged before they are worked on, not when the event loop comes round: it may wait
      for the next event first, and RabbitMQ for that acknowledgement.
    - A message that cannot be worked on is dropped and counted. Celery lets some of them end the worker.
    - Cancelling the consumer of the node's own queue drains the node: its symbols move at once.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, without_mingle=True, without_gossip=True)
        self._own_queues = frozenset(self.app.amqp.queues.consume_from)
        self._restart = Backoff(base=0.25, cap=1.0)  # Celery itself waits a second after five failures within one
        self._failed_at = -math.inf
        self._limit = LogLimit(SAY_EVERY_S)
        for name in _SAY_IT_EACH_TIME:
            logging.getLogger(name).addFilter(RepeatFilter(SAY_EVERY_S))
        if self.hub is None:  # another pool's loop, which says nothing between two messages
            this_worker().hang_guard.stop()
        else:
            self.hub.on_tick.add(this_worker().hang_guard.alive)

    def call_soon_ack(self, p: Any, *args: Any, **kwargs: Any) -> Any:
        """Acknowledge or reject a message; ``p`` logs what goes wrong with the connection."""
        if threading.current_thread() is not threading.main_thread():  # a connection belongs to the loop's thread
            return super().call_soon_ack(p, *args, **kwargs)
        return p(*args, **kwargs)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect to a broker that serves this node's queue, however long that takes, unless told to stop."""
        node = this_worker()
        away = Outage(f"the broker at {conn.as_uri()}", logger)
        refused = Outage(f"queue {node.owner.node} of the broker at {conn.as_uri()}", logger, say_every_s=SAY_EVERY_S)

        def failed(error: Exception, _interval: float = 0) -> float:
            node.hang_guard.alive(CONNECTING_S)
            node.suspend()  # a node that gets no messages must not keep its symbols
            return away.failed(error)

        def refuses(error: Exception) -> float:
            """It answers, and this queue alone is the trouble."""
            node.suspend()
            return refused.failed(error)

        while True:
            node.hang_guard.alive(CONNECTING_S)
            conn = conn.ensure_connection(
                failed,
                self.app.conf.broker_connection_max_retries,
                interval_start=0.05,
                interval_step=0.05,
                interval_max=0.25,
                callback=maybe_shutdown,
            )
            try:
                self._try_queues(conn, (node.owner.node, ALONE))
                break
            except self.connection_errors + self.channel_errors as error:
                pause = failed(error) if cannot_serve(error) else refuses(error)
            maybe_shutdown()
            conn.collect()
            conn = conn.clone()
            time.sleep(pause)
        away.over()
        refused.over()
        self.first_connection_attempt = False
        return conn

    def _try_queues(self, conn: Any, names: tuple[str, ...]) -> None:
        """Declare the queues. Empty a node's, since what has waited for a consumer is late, and try to read from it."""
        for queue in self.app.amqp.queues.consume_from.values():
            if queue.name in names:
                bound = queue(conn.default_channel)
                bound.declare()
                if not this_worker().perishable:
                    continue
                bound.purge()
                if not self.app.amqp.on_rabbitmq:  # there, reading needs the permission that purging needs
                    conn.default_channel.client.brpop([queue.name], timeout=0.01)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """A step before the connection has failed."""
        self._give_up_symbols(exc)
        super().on_connection_error_before_connected(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """A later step, or the event loop, has failed."""
        self._give_up_symbols(exc)
        super().on_connection_error_after_connected(exc)

    def _give_up_symbols(self, error: Exception) -> None:
        this_worker().suspend()
        if (held_back := self._limit.allows(type(error).__name__)) is not None:  # Celery's own line leaves the text out
            logger.warning("no messages, starting to consume again: %s", error, extra={"held_back": held_back})
        if time.monotonic() - self._failed_at < IN_A_ROW_S:
            time.sleep(self._restart.next_s())
        else:
            self._restart.reset()
        self._failed_at = time.monotonic()

    def on_ready(self) -> None:
        """The messages come now: get symbols again."""
        super().on_ready()
        this_worker().resume()

    def cancel_task_queue(self, queue: str) -> None:
        """Take no more messages from ``queue``, until :meth:`add_task_queue`."""
        super().cancel_task_queue(queue)
        self._tell_drained()

    def add_task_queue(self, queue: str, *args: Any, **options: Any) -> None:
        """Take messages from ``queue`` again, if it is one that the worker was started with.

        The command reaches every node, unless its operator names one. Those that take from another's queue would take
        its messages away, and drop them.
        """
        if queue not in self._own_queues:
            logger.warning("not consuming from %s: a node takes messages from the queues of its -Q alone", queue)
            return
        super().add_task_queue(queue, *args, **options)
        self._tell_drained()

    def _tell_drained(self) -> None:
        node = this_worker()
        node.drained(node.owner.node not in self.app.amqp.queues.consume_from)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """The function that takes each message that arrives."""
        handle = super().create_task_handler(*args, **kwargs)
        work = this_worker().work
        perishable = {queue.routing_key for queue in self.app.amqp.queues.values() if queue.no_ack}
        trouble = {*self.connection_errors, *self.channel_errors, MemoryError} - {KeyError}  # kombu takes it for one
        serious = tuple(trouble)

        def receive(message: Any) -> Any:
            work.progress += 1
            try:
                if message.delivery_info.get("routing_key") in perishable:
                    # kombu's Redis channel looks here, and not at the queue, before it forgets a message that was
                    # acknowledged. It has no public way to say so for a message that Celery acknowledges.
                    message.delivery_info["consumer_tag"] = _NO_ACK
                    message.channel.no_ack_consumers = (_NO_ACK,)
                return handle(message)
            except Exception as error:  # a header that no line of Celery's expects
                if isinstance(error, serious):
                    raise
                return self.on_decode_error(message, error)

        return receive

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Drop what is not in the form of a message."""
        metrics.messages_dropped.labels("unreadable").inc()
        if message.body is None:
            message.body = b""  # whose length Celery logs
        if message.acknowledged:
            held_back = self._limit.allows("acknowledged")
            if held_back is not None:
                logger.error("dropped a message: %r", exc, exc_info=exc, extra={"held_back": held_back})
            return
        super().on_decode_error(message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Drop what names no task."""
        metrics.messages_dropped.labels("unreadable").inc()
        super().on_unknown_message(body, message)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Drop what has no arguments, or a time that is none."""
        metrics.messages_dropped.labels("unreadable").inc()
        super().on_invalid_task(body, message, exc)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Drop a message for a task that this version does not have."""
        metrics.messages_dropped.labels("unknown task").inc()
        super().on_unknown_task(body, message, exc)
