"""The fenced lease: no report is accepted without the newest token.

A lease alone does not keep a paused writer out: it may be stopped between its check and its write, for longer than
any lease lasts. So every lease carries a fencing token, which grows whenever the symbol changes hands, and the
write itself is refused unless it brings the newest one (C. Gray, D. Cheriton, "Leases" (1989); M. Kleppmann, "How
to do distributed locking" (2016)).

An accepted write renews the lease, so a holder need not ask again while its writes are accepted and no newer
assignment has come.

All calls are queued on a pipeline that the caller owns: any number of symbols costs one round trip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import redis

from tickfence.coordination.keys import lease_key
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.redis_access.scripts import Argument, Script

ACQUIRE = Script("coordination/lua/acquire.lua")
FENCED_WRITE = Script("coordination/lua/fenced_write.lua")
RELEASE = Script("coordination/lua/release.lua")


_LEASE = "lease:{"


class Acquired(StrEnum):
    """Outcome of asking for a lease; see ``lua/acquire.lua``."""

    HELD = "held"
    TAKEN = "taken"
    STALE = "stale"
    CONFLICT = "conflict"


class Written(StrEnum):
    """Outcome of a fenced write; see ``lua/fenced_write.lua``."""

    WRITTEN = "written"
    REPEATED = "repeated"
    FENCED = "fenced"
    OLD = "old"

    @property
    def accepted(self) -> bool:
        """Whether Redis holds this write (or held it, if newer ones came since)."""
        return self in (Written.WRITTEN, Written.REPEATED)


class Grant(NamedTuple):
    """Reply to an acquire: its outcome, the recorded fencing token, and the number of the last accepted write.

    ``holder`` is the owner (``node/incarnation``) because of whom it was refused, where the outcome is a conflict.
    """

    outcome: Acquired
    token: int
    seq: int
    holder: str = ""

    @property
    def granted(self) -> bool:
        return self.outcome in (Acquired.HELD, Acquired.TAKEN)


class LeaseRecord(NamedTuple):
    """A lease as Redis records it: the hash that ``lua/acquire.lua`` describes.

    Attributes:
        owner: who may write, ``node/incarnation``; "" where nobody holds it.
        node: node id of the last owner.
        token: fencing token; 0 where there has never been a lease.
        generation: newest assignment generation that asked for it.
        seq: number of the last accepted write.
        basis: number of the data that write was made from.
        until_ms: server ms at which the lease ends.
    """

    owner: str = ""
    node: str = ""
    token: int = 0
    generation: int = 0
    seq: int = 0
    basis: int = 0
    until_ms: int = 0

    @classmethod
    def from_hash(cls, fields: Mapping[bytes, bytes | None]) -> LeaseRecord:
        """Decode the hash, or any part of it: a field that is missing or ``None`` has its default.

        Example:
            >>> LeaseRecord.from_hash({b"owner": b"node-001/5f0c", b"token": b"17"}).holder
            'node-001'
        """
        numbers = (int(fields.get(name) or 0) for name in (b"token", b"generation", b"seq", b"basis", b"until"))
        return cls((fields.get(b"owner") or b"").decode(), (fields.get(b"node") or b"").decode(), *numbers)

    @property
    def holder(self) -> str:
        """Node id of the owner; "" where nobody holds the lease."""
        return self.owner.rpartition("/")[0]


class WriteCall(NamedTuple):
    """A call of ``lua/fenced_write.lua``, as ``MONITOR`` or a slow log shows it.

    Attributes:
        owner: who writes, ``node/incarnation``.
        leases: key of the lease of each write, in order.
        values: the keys to set, of all writes.
    """

    owner: str
    leases: tuple[str, ...]
    values: tuple[str, ...]

    @classmethod
    def from_command(cls, command: Sequence[bytes]) -> WriteCall | None:
        """Decode a command; ``None`` where it calls another script, or none.

        Args:
            command: its arguments from ``EVALSHA`` or ``EVAL`` on. Those behind the first one after the keys are not
                read: a command may be cut there.
        """
        if len(command) < 4 or command[0].upper() not in (b"EVAL", b"EVALSHA") or not command[2].isdigit():
            return None
        count = int(command[2])
        keys = [key.decode() for key in command[3 : 3 + count]]
        leases = tuple(key for key in keys if _LEASE in key)
        # acquire.lua and release.lua have the lease alone; register.lua and the others have none.
        if not leases or len(leases) == count or len(command) < 4 + count:
            return None
        return cls(command[3 + count].decode(), leases, tuple(key for key in keys if _LEASE not in key))


def queue_acquire(pipe: Any, symbol: Instrument, owner: Owner, generation: int, ttl_ms: int) -> None:
    """Ask for ``symbol``'s lease for ``ttl_ms``, as told by an assignment of ``generation``. One command."""
    ACQUIRE.queue(pipe, [lease_key(symbol)], [str(owner), owner.node, generation, ttl_ms])


def parse_acquire(reply: Sequence[Any]) -> Grant:
    outcome, token, seq, *holder = reply
    return Grant(Acquired(_text(outcome)), int(token), int(seq), *map(_text, holder))


class Write(NamedTuple):
    """What belongs to ``symbol``, its report for one, to be written under a fencing token, all or nothing.

    ``seq`` is the number of this write, above that of the last accepted one. ``basis`` is the number of the data it was
    made from; it is recorded, never judged. Every key of ``values`` must share the slot of ``report:<SYMBOL>``
    (:mod:`tickfence.coordination.keys`).
    """

    symbol: Instrument
    token: int
    seq: int
    values: Mapping[str, bytes]
    basis: int = 0


def writes_per_call(client: Any) -> int:
    """How many writes to put in one :func:`queue_writes`: on a Redis Cluster one, as its keys must share a slot."""
    # Elsewhere enough to save the cost of single commands, and so few that nobody waits for a long script.
    return 1 if isinstance(client, redis.RedisCluster) else 32


def queue_writes(pipe: Any, owner: Owner, writes: Sequence[Write], ttl_ms: int, lease_ms: int) -> None:
    """Write reports under their tokens. One command; each write is judged by itself.

    The same call may be sent again when its reply was lost: what was accepted is then ``repeated``.

    Parameters:
        writes: as many as :func:`writes_per_call` at most.
        ttl_ms: how long the values live.
        lease_ms: how long the leases go on, from this write.
    """
    keys: list[str] = []
    arguments: list[Argument] = [str(owner), lease_ms, ttl_ms]
    for write in writes:
        keys += [lease_key(write.symbol), *write.values]
        arguments += [write.token, write.seq, write.basis, len(write.values), *write.values.values()]
    FENCED_WRITE.queue(pipe, keys, arguments)


def parse_writes(reply: Sequence[Any]) -> list[Written]:
    """Outcomes in the order of the writes."""
    return [Written(_text(outcome)) for outcome in reply]


def queue_release(pipe: Any, symbol: Instrument, owner: Owner) -> None:
    """Give ``symbol``'s lease back, if it is still ``owner``'s. One command; its reply is 1 or 0."""
    RELEASE.queue(pipe, [lease_key(symbol)], [str(owner)])


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)
