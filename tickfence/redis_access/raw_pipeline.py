"""A pipeline for the hot path: one send, and replies as Redis sends them.

redis-py's own pipeline sends in pieces of 6 kB, and each is a system call that wakes the server. It also parses every
reply into a form that a node does not need. With two commands a symbol, both together are more than half of what a
round trip costs a node. The connection is redis-py's: address, TLS, authentication, Sentinel, time-outs, pool.
"""

from __future__ import annotations

from typing import Any

import redis
from hiredis import pack_command
from redis.exceptions import ResponseError

from tickfence.redis_access.command import checked
from tickfence.redis_access.connect import is_cluster

_NO_OPTIONS: dict[str, Any] = {}
"""Stands for redis-py's parsing options, so that the queue looks like that of its pipeline."""


class RawPipeline:
    """Commands for one server, sent at once; not a transaction.

    Replies are not parsed. The shape of some, such as ``XREAD``'s and ``HGETALL``'s, depends on the protocol's version.

    Args:
        client: of one server, or of a master that Sentinel names.

    Example:
        >>> pipe = RawPipeline(client)
        >>> pipe.execute_command("GET", "report:BTCUSDT")
        >>> [report] = pipe.execute()
    """

    def __init__(self, client: redis.Redis) -> None:
        self.command_stack: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self._pool = client.connection_pool

    def execute_command(self, *args: Any) -> None:
        """Queue a command: its name, which is one word, and its arguments."""
        self.command_stack.append((args, _NO_OPTIONS))

    def execute(self, *, raise_on_error: bool = True) -> list[Any]:
        """Send what is queued and return the replies in order. The queue is empty then.

        Args:
            raise_on_error: raise the first error among the replies. Otherwise it stands in its reply's place.

        Raises:
            redis.exceptions.RedisError: the connection failed, or one of the commands.
        """
        commands, self.command_stack = self.command_stack, []
        connection: Any = self._pool.get_connection()
        try:
            connection.send_packed_command([b"".join([pack_command(arguments) for arguments, _ in commands])])
            replies = [_reply(connection) for _ in commands]
        except BaseException:
            connection.disconnect()  # its late replies would be taken for those to other commands
            raise
        finally:
            self._pool.release(connection)
        return list(map(checked, replies)) if raise_on_error else replies


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def pipeline(client: Any) -> Any:
    """A pipeline that is not a transaction: a `RawPipeline`, or on a Redis Cluster redis-py's, which knows the slots."""
    if is_cluster(client):
        return client.pipeline(transaction=False)
    return RawPipeline(client)
