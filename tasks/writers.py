"""How a node sends its writes: under the fence, or without one where coordination is off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tickfence.coordination.lease import Entry, Lease, NoLease, Write, Written, parse_outcomes, write_command
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.redis_access.command import Command, checked
from tickfence.redis_access.connect import is_cluster
from tickfence.redis_access.errors import ResponseError
from tickfence.redis_access.scripts import send
from tickfence.settings import Settings
from tickfence.streams.codec import split_id


class Writer:
    """Writes what the fence lets through. Subclasses write in other ways.

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
        """The lease that ``symbol``'s writes need."""
        return Lease(self._keys.lease(symbol), self._owner, self._lease_ms)

    def write(self, client: Any, writes: Sequence[Write]) -> list[Written]:
        """Send writes, each under another lease; return their outcomes in order. May be called again with the same.

        Raises:
            redis.exceptions.RedisError: the outcome is not known.
        """
        # On a Redis Cluster the keys of one command must share a slot.
        size = 1 if is_cluster(client) else self.WRITES_A_CALL
        batches = [writes[first : first + size] for first in range(0, len(writes), size)]
        commands = [write_command(self._owner, batch, self._ttl_ms, self._lease_ms) for batch in batches]
        return [outcome for reply in send(client, commands) for outcome in parse_outcomes(reply)]


class UnfencedWriter(Writer):
    """Writes without a lease, for a single node. Every write is accepted."""

    def lease(self, symbol: Instrument) -> Lease:
        """Stands for a lease."""
        return NoLease(self._keys.lease(symbol), self._owner)

    def write(self, client: Any, writes: Sequence[Write]) -> list[Written]:
        """See :class:`Writer`.

        Entries may be appended twice when they are sent again after a lost reply, and so may the first one after the
        server's clock was set back and the stream was lost.
        """
        values = [pair for write in writes for pair in write.values.items()]
        entries = [entry for write in writes for entry in write.entries]
        commands = [("SET", key, value, "PX", self._ttl_ms) for key, value in values]
        replies = send(client, [*commands, *map(_append, entries)], raise_errors=False)
        for reply in replies[: len(commands)]:
            checked(reply)
        again: list[Command] = []
        for entry, reply in zip(entries, replies[len(commands) :], strict=True):
            if _is_no_stream(reply):
                again += (("DEL", entry.key), _append(entry))
            elif split_id(reply)[0] < entry.least_ms:  # the clock was set back, and the stream is new
                again.append(_append(entry, f"{entry.least_ms}-0"))
        send(client, again)
        return [Written.WRITTEN] * len(writes)


def _append(entry: Entry, identity: str = "*") -> Command:
    return "XADD", entry.key, "MAXLEN", "~", entry.keep, identity, entry.field, entry.value


def _is_no_stream(reply: Any) -> bool:
    """Whether a key is none to append to, as in the fenced script; any other error is raised."""
    if isinstance(reply, ResponseError) and any(word in str(reply) for word in ("WRONGTYPE", "exhausted")):
        return True
    checked(reply)
    return False
