"""The worker's connection to the broker, made for a node that must be back within two seconds."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from celery.worker import loops
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown

from tasks.lifecycle import this_node
from tickfence.coordination.dispatch import ALONE
from tickfence.redis_access.errors import ConnectionLost, ResponseError, cannot_serve
from tickfence.redis_access.outage import Outage

logger = logging.getLogger(__name__)

_NO_ACK = "no_ack"


class Consumer(CeleryConsumer):
    """Celery's consumer, with five changes.

    - Reconnecting waits 0.25 s at most. Celery waits 2 s, 4 s … 30 s whatever the transport options say.
    - No mingle and no gossip. At every start, mingle waits a second for the other workers' answers. Both serve features
      that a node does not use: revoked tasks, and events between workers.
    - Messages of a ``no_ack`` queue are not acknowledged. Kombu's Redis transport does not remember them, and would
      still spend a round trip on forgetting each.
    - Messages of RabbitMQ are acknowledged before they are worked on, not when the event loop comes round: it may wait
      for the next event first, and RabbitMQ for that acknowledgement.
    - A Redis that becomes a replica, or cannot write, counts as one that went away. Celery would end the worker.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, without_mingle=True, without_gossip=True)

    def loop(self, *args: Any) -> None:
        """Consume until the connection is lost. Celery takes a loop that its consumer has instead of its own."""
        try:
            (loops.asynloop if self.hub else loops.synloop)(*args)
        except ResponseError as error:
            if not cannot_serve(error):
                raise
            raise ConnectionLost(str(error)) from error

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """The function that takes each message that arrives."""
        handle = super().create_task_handler(*args, **kwargs)
        perishable = {queue.routing_key for queue in self.app.amqp.queues.consume_from.values() if queue.no_ack}

        def receive(message: Any) -> Any:
            if message.delivery_info.get("routing_key") in perishable:
                # kombu's Redis channel looks here, and not at the queue, before it forgets a message that was
                # acknowledged. It has no public way to say so for a message that Celery acknowledges.
                message.delivery_info["consumer_tag"] = _NO_ACK
                message.channel.no_ack_consumers = (_NO_ACK,)
            return handle(message)

        return receive

    def call_soon_ack(self, p: Any, *args: Any, **kwargs: Any) -> Any:
        """Acknowledge or reject a message; ``p`` logs what goes wrong with the connection."""
        if threading.current_thread() is not threading.main_thread():  # a connection belongs to the loop's thread
            return super().call_soon_ack(p, *args, **kwargs)
        return p(*args, **kwargs)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect to the broker, however long that takes, unless the worker is told to stop."""
        outage = Outage(f"the broker at {conn.as_uri()}", logger)
        node = this_node()

        def failed(error: Exception, _interval: float) -> float:
            node.suspend()  # a node that gets no messages must not keep its symbols
            return outage.failed(error)

        while True:
            conn = conn.ensure_connection(
                failed,
                self.app.conf.broker_connection_max_retries,
                interval_start=0.05,
                interval_step=0.05,
                interval_max=0.25,
                callback=maybe_shutdown,
            )
            try:
                self._purge(conn, (node.owner.node, ALONE))
                break
            except ResponseError as error:  # it answers, and cannot serve
                if not cannot_serve(error):
                    raise
                pause = failed(error, 0)
            maybe_shutdown()
            conn.collect()
            conn = conn.clone()
            time.sleep(pause)
        outage.over()
        self.first_connection_attempt = False
        node.resume()
        return conn

    def _purge(self, conn: Any, names: tuple[str, ...]) -> None:
        """Empty this node's queue: what has waited for a consumer is late."""
        for queue in self.app.amqp.queues.consume_from.values():
            if queue.name in names:
                bound = queue(conn.default_channel)
                bound.declare()
                bound.purge()
