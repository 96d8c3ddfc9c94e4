"""How much waits in the nodes' queues: asked of the broker in one round trip for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# AMQP 0-9-1, section 1.7.2: class and method of queue.declare and of its answer; py-amqp's letters for the arguments
# ticket, queue, passive, durable, exclusive, auto-delete, no-wait and arguments.
_DECLARE, _DECLARE_OK, _FIELDS = (50, 10), (50, 11), "BsbbbbbF"


def waiting(channel: Any, queues: Sequence[Any], *, amqp: bool) -> list[int]:
    """Number of messages that wait in each of ``queues`` (:class:`kombu.Queue`).

    On AMQP each is declared, just as its consumer does: the answer tells the number, and a queue that is missing is no
    error.

    Raises what ``channel`` raises; an AMQP channel must not be used any more then, since answers may be on their way.
    """
    if not amqp:
        with channel.conn_or_acquire() as client:  # the connection that messages are sent over, too
            pipe = client.pipeline(transaction=False)
            for queue in queues:
                pipe.llen(queue.name)
            return [int(length) for length in pipe.execute()]
    for queue in queues:
        as_consumed = (False, queue.durable, queue.exclusive, queue.auto_delete, False, queue.queue_arguments)
        channel.send_method(_DECLARE, _FIELDS, (0, queue.name, *as_consumed))
    answers = [channel.wait(_DECLARE_OK, returns_tuple=True) for _ in queues]
    return [int(messages) for _, messages, _ in answers]
