"""Sends many packed commands at once to the masters of a Redis Cluster, each to the one that has its slot.

A cluster's client of redis-py costs 50 µs a command, and this 3 µs: what observes must not be what is measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import redis
from redis.crc import key_slot

from tickfence.redis_access.command import Command
from tickfence.streams.append import pack
from tools.benchmarks.redis_cluster import SLOTS, master_ranges
from tools.local.ports import LOOPBACK

_TIMEOUT_S = 2.0
_Connection: Any = redis.Connection  # it has no types


class Addressed:
    """A packed command with the slot of its key.

    Args:
        key: its key.
        packed: the command, as Redis reads it off the wire.
    """

    __slots__ = ("packed", "slot")

    def __init__(self, key: str, packed: bytes) -> None:
        self.slot, self.packed = key_slot(key.encode()), packed

    @classmethod
    def of(cls, command: Command) -> Addressed:
        """A command whose key is its first argument."""
        return cls(str(command[1]), pack([command]))


class SlotRouting:
    """Connections to the masters of a cluster.

    Args:
        ports: loopback ports of its servers.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._master_of: list[int] = []
        self._connections: dict[int, Any] = {}

    def call(self, commands: Sequence[Addressed]) -> list[Any]:
        """Send commands; return their replies in order.

        In the place of a reply stands the error, also where a master cannot be reached. The slots are asked for again then.
        """
        if not self._master_of:
            self._learn()
        by_master: dict[int, list[int]] = defaultdict(list)
        for number, command in enumerate(commands):
            by_master[self._master_of[command.slot] if self._master_of else 0].append(number)
        replies: list[Any] = [redis.ConnectionError("not sent")] * len(commands)
        for port, numbers in by_master.items():
            try:
                connection = self._connection(port)
                connection.send_packed_command([b"".join([commands[number].packed for number in numbers])])
                for number in numbers:
                    replies[number] = _reply(connection)
            except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
                for number in numbers:
                    replies[number] = error
                self._forget(port)
        if any(isinstance(reply, redis.RedisError) for reply in replies):
            self._master_of = []
        return replies

    def close(self) -> None:
        """Close all connections."""
        for port in [*self._connections]:
            self._forget(port)

    def _learn(self) -> None:
        for port in self._ports:
            try:
                with redis.Redis(port=port, socket_timeout=_TIMEOUT_S) as client:
                    found = master_ranges(client)
            except redis.RedisError:
                continue
            master_of = [0] * SLOTS
            for first, last, master in found:
                master_of[first : last + 1] = [master] * (last + 1 - first)
            self._master_of = master_of
            return

    def _connection(self, port: int) -> Any:
        if port not in self._connections:
            connection: Any = _Connection(host=LOOPBACK, port=port, socket_timeout=_TIMEOUT_S)
            connection.connect()
            self._connections[port] = connection
        return self._connections[port]

    def _forget(self, port: int) -> None:
        if connection := self._connections.pop(port, None):
            connection.disconnect()


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error
