"""A fence that is none: ask whether the token is the newest, and then write.

This is what a lease alone comes to, as it is most often built (M. Kleppmann, "How to do distributed locking" (2016),
shows how it fails): the process may stop between the two steps for longer than any lease lasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.writers import Writer
from tickfence.coordination.lease import Lease, Write, Written
from tickfence.instrument import Instrument
from tickfence.redis_access.scripts import send


class NaiveWriter(Writer):
    """Writes in two round trips: checks all tokens, then writes what may be written.

    No write renews a lease, so each cycle's first round trip asks for it again.
    """

    def lease(self, symbol: Instrument) -> Lease:
        """A lease that only an acquire extends."""
        return UnrenewedLease(self._keys.lease(symbol), self._owner, self._lease_ms)

    def write(self, client: Any, writes: Sequence[Write]) -> list[Written]:
        """See :class:`tasks.writers.Writer`."""
        recorded = send(client, [("HMGET", write.lease, "owner", "token") for write in writes])
        owner = str(self._owner).encode()
        held = [of_one == [owner, b"%d" % one.token] for one, of_one in zip(writes, recorded, strict=True)]
        self.between()
        values = [pair for one, may in zip(writes, held, strict=True) if may for pair in one.values.items()]
        send(client, [("SET", key, value, "PX", self._ttl_ms) for key, value in values])
        return [Written.WRITTEN if may_write else Written.FENCED for may_write in held]

    def between(self) -> None:
        """Is called after the check and before the write."""


class UnrenewedLease(Lease):
    """A lease that an accepted write does not renew."""

    __slots__ = ()

    def needs_acquire(self, generation: int) -> bool:  # noqa: ARG002
        """Always."""
        return True
