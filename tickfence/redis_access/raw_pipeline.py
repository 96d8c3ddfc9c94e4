"""A pipeline for the hot path: one send, and replies as Redis sends them.

redis-py's own pipeline sends in pieces of 6 kB, and each is a system call that wakes the server. It also parses every
reply into a form that a node does not need. With two commands a symbol, both together are more than half of what a
round trip costs a node. The connection is redis-py's: address, TLS, authentication, Sentinel, time-outs, pool.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hiredis import pack_command
from redis.exceptions import ResponseError

from tickfence.redis_access.command import Command
from tickfence.redis_access.connect import is_cluster


def exchange(client: Any, commands: Iterable[Command]) -> list[Any]:
    """Send commands at once, not as a transaction, and return their replies in order.

    Replies are not parsed. The shape of some, such as ``XREAD``'s and ``HGETALL``'s, depends on the protocol's version.
    On a Redis Cluster redis-py's own pipeline does the work, because it knows the slots.

    Args:
        client: a blocking one, of any kind.
        commands: a command's name is one word.

    Returns:
        A reply for each command; an error of one command stands in its reply's place.

    Raises:
        redis.exceptions.RedisError, redis.exceptions.RedisClusterException: the connection failed.

    Example:
        >>> [report] = exchange(client, [("GET", "report:BTCUSDT")])
    """
    if is_cluster(client):
        pipe = client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        return list(pipe.execute(raise_on_error=False))
    packed = [pack_command(command) for command in commands]
    connection: Any = client.connection_pool.get_connection()
    try:
        connection.send_packed_command([b"".join(packed)])
        replies: list[Any] = []
        for _ in packed:
            try:
                replies.append(connection.read_response())
            except ResponseError as error:
                replies.append(error)
        return replies
    except BaseException:
        connection.disconnect()  # its late replies would be taken for those to other commands
        raise
    finally:
        client.connection_pool.release(connection)
