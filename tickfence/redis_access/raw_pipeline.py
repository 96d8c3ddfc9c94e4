"""A pipeline for the hot path: one send, and replies as Redis sends them.

redis-py's own pipeline sends in pieces of 6 kB, each a system call that wakes the server, and puts every reply through
parsing that a node does not need: with two commands a symbol that is more than half of what a round trip costs a node.
The connection stays redis-py's: address, TLS, authentication, Sentinel, timeouts, pool.
"""

from __future__ import annotations

from typing import Any

import redis
from hiredis import pack_command
from redis.exceptions import ResponseError

_NO_OPTIONS: dict[str, Any] = {}
"""In the place of redis-py's parsing options, so that the queue has the shape of its pipeline's."""


class RawPipeline:
    """Commands for one server, sent at once; not a transaction.

    Replies are those of the wire: of ``XREAD`` and ``HGETALL``, for one, the shape depends on the protocol's version.

    Example:
        >>> pipe = RawPipeline(client)
        >>> pipe.execute_command("GET", "report:BTCUSDT")
        >>> [report] = pipe.execute()
    """

    def __init__(self, client: redis.Redis) -> None:
        self.command_stack: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self._pool = client.connection_pool

    def execute_command(self, *args: Any) -> None:
        """Queue a command; its name is one word."""
        self.command_stack.append((args, _NO_OPTIONS))

    def execute(self, *, raise_on_error: bool = True) -> list[Any]:
        """Send what is queued, and return a reply for each; the queue is empty then.

        Parameters:
            raise_on_error: whether an error among the replies is raised, or stands in that reply's place.

        Raises:
            redis.exceptions.RedisError: that of the connection, or the first among the replies.
        """
        commands, self.command_stack = self.command_stack, []
        connection: Any = self._pool.get_connection()
        try:
            connection.send_packed_command([b"".join([pack_command(arguments) for arguments, _ in commands])])
            replies = [_reply(connection) for _ in commands]
        except BaseException:
            connection.disconnect()  # what it still has to say would be taken for the answer to something else
            raise
        finally:
            self._pool.release(connection)
        if raise_on_error:
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def pipeline(client: Any) -> Any:
    """A pipeline of ``client`` that is not a transaction; on a Redis Cluster redis-py's, which knows the slots."""
    if isinstance(client, redis.RedisCluster):
        return client.pipeline(transaction=False)  # type: ignore[no-untyped-call]
    return RawPipeline(client)
