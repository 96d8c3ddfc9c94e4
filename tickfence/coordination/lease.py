"""The fenced lease: no report is accepted without the newest token.

A lease alone does not keep a paused writer out: it may be stopped between its check and its write, for longer than
any lease lasts. So every lease carries a fencing token, which grows whenever the symbol changes hands, and Redis
refuses a write that does not bring the newest one (C. Gray, D. Cheriton, "Leases" (1989); M. Kleppmann, "How to do
distributed locking" (2016)).

The rule itself is in ``lua/acquire.lua`` and ``lua/fenced_write.lua``. :class:`Lease` is what one owner knows of one
lease, and what follows from it. Nothing here does I/O: any number of leases share a round trip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from tickfence.coordination.owner import Owner
from tickfence.redis_access.command import Command
from tickfence.redis_access.scripts import Argument, Script

ACQUIRE = Script("coordination/lua/fencing.lua", "coordination/lua/acquire.lua")
FENCED_WRITE = Script("coordination/lua/fenced_write.lua")
RELEASE = Script("coordination/lua/release.lua")

UNFENCED_TOKEN = 1

_LEASE = "lease:{"


class Acquired(StrEnum):
    """Outcome of an acquire; see ``lua/acquire.lua``."""

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
        """Whether Redis holds this write, or held it until a newer one came."""
        return self is Written.WRITTEN or self is Written.REPEATED


class Grant(NamedTuple):
    """Reply to an acquire.

    Attributes:
        outcome: whether the lease was granted, and how.
        token: the recorded fencing token.
        seq: number of the last accepted write.
        holder: the owner (``node/incarnation``) that holds the lease, where the outcome is a conflict; else "".
    """

    outcome: Acquired
    token: int
    seq: int
    holder: str = ""

    @property
    def granted(self) -> bool:
        """Whether the caller holds the lease."""
        return self.outcome is Acquired.HELD or self.outcome is Acquired.TAKEN


class Entry(NamedTuple):
    """An entry to be appended to a stream.

    Attributes:
        key: of the stream.
        keep: about how many entries the stream keeps; older ones are trimmed.
        field: name of its only field.
        value: of that field.
        least_ms: given while the server's clock is behind a time that the writer has seen: a stream that Redis has lost
            begins again with ids from there on.
    """

    key: str
    keep: int
    field: str
    value: bytes
    least_ms: int = 0


class Write(NamedTuple):
    """Values to be written and entries to be appended under a fencing token, all of them or none.

    Attributes:
        lease: key of the lease.
        token: the fencing token.
        seq: number of this write, above that of the last accepted one.
        values: key -> value. Every key shares the slot of the lease.
        basis: number of the data it was made from. Redis records it and never judges it.
        entries: appended when the write is accepted, and not when it is repeated. Their keys share the slot too.
    """

    lease: str
    token: int
    seq: int
    values: Mapping[str, bytes]
    basis: int = 0
    entries: Sequence[Entry] = ()


class Lease:
    """The right to write one set of values, as far as one owner knows it.

    An accepted write renews the lease, so the next acquire can be left out: the owner asks again only in a newer
    generation, or after a cycle that wrote nothing.

    A write's number is used once, whatever becomes of the write: Redis may still find it in its sockets when the owner
    no longer waits for the outcome.

    Args:
        key: of the lease.
        owner: the process start that asks and writes.
        ttl_ms: how long the lease lasts from each acquire.

    Attributes:
        token: fencing token of the last grant; 0 before the first.
        seq: number of the last write.
        asked: whether the last :meth:`acquire` asked Redis, and did not rely on a renewal.
        held_at: monotonic seconds at which the lease was last known to be held: a grant, or an accepted write.

    Example:
        >>> lease = Lease("lease:{report:BTCUSDT}", Owner("node-001", "5f0c"), ttl_ms=1500)
        >>> lease.acquire(generation=1) is None
        False
        >>> lease.granted(Grant(Acquired.TAKEN, token=17, seq=17), now_s=0.0)
        True
        >>> lease.next_write({"report:BTCUSDT": b"{}"}).seq
        18
        >>> lease.outcome(Written.WRITTEN, now_s=0.1)
        True
        >>> lease.acquire(generation=1) is None
        True
    """

    __slots__ = ("_generation", "_renewed_in", "_ttl_ms", "asked", "held_at", "key", "owner", "seq", "token")

    def __init__(self, key: str, owner: Owner, ttl_ms: int) -> None:
        self.key, self.owner = key, owner
        self.token = self.seq = 0
        self.asked = False
        self.held_at = -math.inf
        self._ttl_ms = ttl_ms
        self._generation = 0
        self._renewed_in: int | None = None

    def needs_acquire(self, generation: int) -> bool:
        """Whether a write in this generation needs an acquire before it."""
        return self._renewed_in != generation

    def acquire(self, generation: int) -> Command | None:
        """The command that asks for the lease, or ``None`` where the last accepted write has renewed it.

        A write saves one acquire: if the cycle after it writes nothing, the next cycle asks.

        Args:
            generation: of the assignment that gives this owner the symbol.
        """
        self.asked = self.needs_acquire(generation)
        self._generation, self._renewed_in = generation, None
        return acquire_command(self.key, self.owner, generation, self._ttl_ms, self.token) if self.asked else None

    def granted(self, grant: Grant | None, now_s: float) -> bool:
        """Take the reply to :meth:`acquire`, ``None`` where there was no command; return whether to go on.

        Where there was none, the fence tells whether the lease is still held.

        Args:
            grant: the decoded reply.
            now_s: monotonic seconds at which the command was made, or later.
        """
        if grant is None:
            return True
        if grant.granted:
            # Redis may have lost the last writes; their numbers are not used again.
            self.token, self.seq = grant.token, max(self.seq, grant.seq)
            self.held_at = now_s
        return grant.granted

    def moved(self, grant: Grant) -> bool:
        """Whether a refusal shows that another owner has had the lease since this one."""
        return grant.token != self.token

    def next_write(self, values: Mapping[str, bytes], basis: int = 0, entries: Sequence[Entry] = ()) -> Write:
        """Put ``values`` under the token and a new number. The same write may be sent twice; see :class:`Write`."""
        self.seq += 1
        return Write(self.key, self.token, self.seq, values, basis, entries)

    def outcome(self, written: Written, now_s: float) -> bool:
        """Take the outcome of the last write; return whether it was accepted.

        Where it was not, and :attr:`asked` is false, the lease was lost since its renewal: ask for it at once.
        Where it was not although it was asked for, another owner has taken it in between.
        """
        if not written.accepted:
            return False
        self._renewed_in, self.held_at = self._generation, now_s
        return True

    def release(self) -> Command:
        """The command that gives the lease back, if it is still held. Its reply is 1, or 0 where it is not."""
        return RELEASE.command([self.key], [str(self.owner)])


class NoLease(Lease):
    """Stands for a lease where one node writes everything: it is never asked for, and its token is always 1."""

    __slots__ = ()

    def __init__(self, key: str, owner: Owner) -> None:
        super().__init__(key, owner, ttl_ms=0)
        self.token = UNFENCED_TOKEN

    def needs_acquire(self, generation: int) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def granted(self, grant: Grant | None, now_s: float) -> bool:  # noqa: ARG002
        """Always."""
        self.held_at = now_s
        return True


class LeaseRecord(NamedTuple):
    """A lease as Redis records it: the hash that ``lua/acquire.lua`` describes.

    Attributes:
        owner: the holder, ``node/incarnation``; "" where there is none.
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
        """Node id of the holder; "" where there is none."""
        return self.owner.rpartition("/")[0]


class WriteCall(NamedTuple):
    """A call of ``lua/fenced_write.lua``, as ``MONITOR`` or a slow log shows it.

    Attributes:
        owner: the writer, ``node/incarnation``.
        leases: key of the lease of each write, in order.
        values: the keys to set and the streams to append to, of all writes.
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


def acquire_command(key: str, owner: Owner, generation: int, ttl_ms: int, claimed: int = 0) -> Command:
    """Ask for the lease at ``key`` for ``ttl_ms``, as told by an assignment of ``generation``.

    Args:
        key: of the lease.
        owner: the process start that asks.
        generation: of the assignment that gives it the symbol.
        ttl_ms: how long the lease lasts from now on.
        claimed: the highest token that it has had: a new one is above it, also when Redis has lost it.
    """
    return ACQUIRE.command([key], [str(owner), owner.node, generation, ttl_ms, claimed])


def parse_grant(reply: Sequence[Any]) -> Grant:
    """Decode the reply to :func:`acquire_command`."""
    outcome, token, seq, *holder = reply
    return Grant(Acquired(_text(outcome)), int(token), int(seq), *map(_text, holder))


def write_command(owner: Owner, writes: Sequence[Write], ttl_ms: int, lease_ms: int) -> Command:
    """Write values under their tokens; Redis judges each write by itself.

    The same command may be sent again when its reply was lost: what was accepted is then ``repeated``.

    Args:
        owner: the process start that writes.
        writes: on a Redis Cluster one, as the keys of a command must share a slot.
        ttl_ms: how long the values live.
        lease_ms: how long the leases go on, from this write.
    """
    keys: list[str] = []
    arguments: list[Argument] = [str(owner), lease_ms, ttl_ms]
    for lease, token, seq, values, basis, entries in writes:
        keys += (lease, *values)
        arguments += (token, seq, basis, len(values), len(entries), *values.values())
        for key, keep, field, value, least_ms in entries:
            keys.append(key)
            arguments += (keep, field, value, least_ms)
    return FENCED_WRITE.command(keys, arguments)


_WRITTEN = {outcome.value.encode(): outcome for outcome in Written}


def parse_outcomes(reply: Sequence[Any]) -> list[Written]:
    """Decode the reply to :func:`write_command`: outcomes in the order of the writes."""
    return [_WRITTEN[outcome] for outcome in reply]


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)
