"""How much waits in each of many queues, in one round trip: on a Redis broker, and on AMQP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tickfence.redis_access.errors import ResponseError, cannot_serve

# AMQP 0-9-1, section 1.7.2: class and method of queue.declare and of its answer; py-amqp's letters for the arguments
# ticket, queue, passive, durable, exclusive, auto-delete, no-wait and arguments.
_DECLARE, _DECLARE_OK, _FIELDS = (50, 10), (50, 11), "BsbbbbbF"


def queue_lengths(channel: Any, queues: Sequence[Any], *, amqp: bool) -> list[int | ResponseError]:
    """How many messages wait in each queue, in one round trip for all of them.

    On AMQP each queue is declared, just as its consumer does: the answer tells the number, and a queue that is missing
    is no error.

    Args:
        channel: of the transport; if it raises, an AMQP channel must not be used any more, since answers may be on
            their way.
        queues: of type :class:`kombu.Queue`.
        amqp: whether the transport is AMQP; else it is Redis.

    Returns:
        A length for each queue. On Redis, an error that belongs to one queue stands in its length's place: its name
        holds a key of another type, or must not be read.

    Raises:
        Exception: what ``channel`` raises.
    """
    if not amqp:
        with channel.conn_or_acquire() as client:  # the connection that messages are sent over
            pipe = client.pipeline(transaction=False)
            for queue in queues:
                pipe.llen(queue.name)
            replies = pipe.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception) and (cannot_serve(reply) or not isinstance(reply, ResponseError)):
                raise reply
        return replies
    for queue in queues:
        as_consumed = (False, queue.durable, queue.exclusive, queue.auto_delete, False, queue.queue_arguments)
        channel.send_method(_DECLARE, _FIELDS, (0, queue.name, *as_consumed))
    answers = [channel.wait(_DECLARE_OK, returns_tuple=True) for _ in queues]
    return [int(messages) for _, messages, _ in answers]
