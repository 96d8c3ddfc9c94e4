"""How a worker's queue is declared: by who sends to it, and by the worker, in the same words.

RabbitMQ refuses a queue that two declare differently, so neither side's settings have a say in it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from celery.app import amqp
from kombu import Queue

from tasks.broker_connection import Connection
from tickfence.batch.workers import is_batch_queue

ARGUMENTS = {
    "x-queue-type": "classic",  # dispatches are not worth replicas
    "x-max-length": 1000,  # a bound for when nothing else is one: the dispatcher stops sending long before
    "x-overflow": "drop-head",
    "x-expires": 60_000,  # ms without use after which the queue of a node that does not come back is deleted
}


BATCH_ARGUMENTS = {
    "x-queue-type": "classic",  # a message that is lost is sent again
    "x-expires": 7 * 86_400_000,
}


class PerishableQueues(amqp.Queues):  # type: ignore[misc]
    """Celery's queues; a queue that is known by its name only is a node's, or a batch worker's."""

    def new_missing(self, name: str) -> Queue:
        """A queue that goes away by itself; a node's is bounded."""
        # All are bound to the one default exchange: an exchange for each queue would outlive it.
        arguments = BATCH_ARGUMENTS if is_batch_queue(name) else ARGUMENTS
        return Queue(name, routing_key=name, queue_arguments=arguments)


class AMQP(amqp.AMQP):  # type: ignore[misc]
    """``app.amqp`` with :class:`PerishableQueues` on a RabbitMQ, and connections that survive what they read."""

    Connection = Connection

    @cached_property
    def on_rabbitmq(self) -> bool:
        """Whether the broker speaks AMQP."""
        return bool(self.app.connection_for_read().transport.driver_type == "amqp")

    @property
    def queues_cls(self) -> Any:
        """The class of ``app.amqp.queues``."""
        return PerishableQueues if self.on_rabbitmq else amqp.Queues

    def perishable_queue(self, name: str) -> Queue:
        """A queue that keeps no message once it is delivered: the next dispatch makes up for one that is lost.

        RabbitMQ hands over all messages at once to a consumer that does not acknowledge. So there each is acknowledged,
        as soon as it is read.
        """
        queue = self.queues.new_missing(name)
        queue.no_ack = not self.on_rabbitmq
        return queue
