"""A pipeline for the hot path: one send, and replies as Redis sends them.

redis-py's own pipeline sends in pieces of 6 kB, and each is a system call that wakes the server. It also parses every
reply into a form that a node does not need. With two commands a symbol, both together are more than half of what a
round trip costs a node. The connection is redis-py's: address, TLS, authentication, Sentinel, time-outs, pool.

On a Redis Cluster its pipeline also asks one master for the keys of each ``XREAD`` and ``EVALSHA``, one after the other, before
it sends anything. That master has the work of all then, and if it dies, nothing is sent at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from hiredis import pack_command
from redis import exceptions
from redis.exceptions import ResponseError

from tickfence.redis_access.command import UNSENT, Command
from tickfence.redis_access.connect import is_cluster
from tickfence.redis_access.errors import CONNECTION_LOST

_ELSEWHERE = (
    exceptions.AskError,  # also: MOVED
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
)


def exchange(client: Any, commands: Iterable[Command]) -> list[Any]:
    """Send commands at once, not as a transaction, and return their replies in order.

    Replies are not parsed. The shape of some, such as ``XREAD``'s and ``HGETALL``'s, depends on the protocol's version.
    On a Redis Cluster each master gets its commands. What a master does not serve is sent once more by redis-py's own
    pipeline, which follows slots on their way, and parses the replies.

    Args:
        client: a blocking one, of any kind.
        commands: a command's name is one word.

    Returns:
        A reply for each command; an error of one command stands in its reply's place. On a cluster, so does the error of the
        connection to its master.

    Raises:
        redis.exceptions.RedisError, redis.exceptions.RedisClusterException: the connection failed. On a cluster: no master
            can be reached, or a slot has none.

    Example:
        >>> [report] = exchange(client, [("GET", "report:BTCUSDT")])
    """
    if is_cluster(client):
        return _exchange_with_masters(client, list(commands))
    packed = [pack_command(command) for command in commands]
    with _borrowed(client) as connection:
        connection.send_packed_command([b"".join(packed)])
        return [_reply(connection) for _ in packed]


def key_of(command: Command) -> str | bytes:
    """The first key of a command. All keys of a command share a slot.

    Example:
        >>> key_of(("XREAD", "COUNT", 10, "STREAMS", "md:{BTCUSDT}:trades", "0-0"))
        'md:{BTCUSDT}:trades'
    """
    match command[0]:
        case "EVALSHA" | "EVAL":
            key = command[3]
        case "XREAD":
            key = command[command.index("STREAMS") + 1]
        case _:
            key = command[1]
    found: str | bytes = key
    return found


def _exchange_with_masters(client: Any, commands: Sequence[Command]) -> list[Any]:
    by_master: dict[Any, list[int]] = defaultdict(list)
    for number, command in enumerate(commands):
        by_master[client.get_node_from_key(key_of(command))].append(number)
    replies: list[Any] = [UNSENT] * len(commands)
    with ExitStack() as borrowed:
        sent = []
        for master, numbers in by_master.items():
            try:
                connection = borrowed.enter_context(_borrowed(client.get_redis_connection(master)))
                connection.send_packed_command([b"".join([pack_command(commands[number]) for number in numbers])])
                sent.append((connection, numbers))
            except CONNECTION_LOST as error:
                _put(replies, numbers, error)
        for connection, numbers in sent:
            try:
                for number in numbers:
                    replies[number] = _reply(connection)
            except CONNECTION_LOST as error:
                connection.disconnect()
                _put(replies, numbers, error)
    if any(isinstance(reply, CONNECTION_LOST) for reply in replies):
        client.nodes_manager.initialize()  # another may be the master by now
    elsewhere = [number for number, reply in enumerate(replies) if isinstance(reply, _ELSEWHERE)]
    if elsewhere:
        pipe = client.pipeline(transaction=False)
        for number in elsewhere:
            pipe.execute_command(*commands[number])
        for number, reply in zip(elsewhere, pipe.execute(raise_on_error=False), strict=True):
            replies[number] = reply
    return replies


@contextmanager
def _borrowed(client: Any) -> Iterator[Any]:
    """A connection of the client's pool. After an error it is closed: its late replies would be taken for those to others."""
    connection: Any = client.connection_pool.get_connection()
    try:
        yield connection
    except BaseException:
        connection.disconnect()
        raise
    finally:
        client.connection_pool.release(connection)


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _put(replies: list[Any], numbers: Iterable[int], error: Exception) -> None:
    """The error in place of each reply that has not come."""
    for number in numbers:
        if replies[number] is UNSENT:
            replies[number] = error
