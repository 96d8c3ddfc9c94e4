"""How a node sends its writes: under the fence, or without one where coordination is off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import redis

from tickfence.coordination.lease import Lease, NoLease, Write, Written, parse_outcomes, write_command
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.redis_access.command import Command
from tickfence.redis_access.raw_pipeline import pipeline
from tickfence.redis_access.scripts import execute
from tickfence.settings import Settings


class Writer(Protocol):
    """What a node writes with; :attr:`tasks.node.Node.writer`."""

    def lease(self, symbol: Instrument) -> Lease:
        """The lease that a symbol's writes need."""

    def write(self, client: Any, writes: Sequence[Write]) -> list[Written]:
        """Send writes, each of another lease; return their outcomes in order. May be called again with the same.

        Raises:
            redis.exceptions.RedisError: the outcome is not known.
        """


class FencedWriter:
    """Writes what the fence lets through.

    Args:
        owner: the process start that writes.
        settings: how long leases and values live, and the keys.
    """

    WRITES_A_CALL = 32
    """Enough to save the cost of single commands, and so few that nobody waits for a long script."""

    def __init__(self, owner: Owner, settings: Settings) -> None:
        self._owner, self._keys = owner, settings.keys
        self._lease_ms, self._ttl_ms = settings.nt_lease_ttl_ms, settings.nt_report_ttl_s * 1000

    def lease(self, symbol: Instrument) -> Lease:
        """The lease of ``symbol``'s report."""
        return Lease(self._keys.lease(symbol), self._owner, self._lease_ms)

    def write(self, client: Any, writes: Sequence[Write]) -> list[Written]:
        """See :class:`Writer`."""
        # On a Redis Cluster the keys of one command must share a slot.
        size = 1 if isinstance(client, redis.RedisCluster) else self.WRITES_A_CALL
        pipe = pipeline(client)
        for first in range(0, len(writes), size):
            pipe.execute_command(*self.command(writes[first : first + size]))
        return [outcome for reply in execute(pipe) for outcome in parse_outcomes(reply)]

    def command(self, writes: Sequence[Write]) -> Command:
        """The command that sends these writes."""
        return write_command(self._owner, writes, self._ttl_ms, self._lease_ms)


class UnfencedWriter:
    """Writes without a lease, for a single node.

    Args:
        owner: the process start that writes.
        settings: how long values live, and the keys.
    """

    def __init__(self, owner: Owner, settings: Settings) -> None:
        self._owner, self._keys, self._ttl_ms = owner, settings.keys, settings.nt_report_ttl_s * 1000

    def lease(self, symbol: Instrument) -> Lease:
        """Stands for a lease."""
        return NoLease(self._keys.lease(symbol), self._owner)

    def write(self, client: Any, writes: Sequence[Write]) -> list[Written]:
        """See :class:`Writer`. All are accepted."""
        pipe = pipeline(client)
        for write in writes:
            for key, value in write.values.items():
                pipe.execute_command("SET", key, value, "PX", self._ttl_ms)
        execute(pipe)
        return [Written.WRITTEN] * len(writes)
