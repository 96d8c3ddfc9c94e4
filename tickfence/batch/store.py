"""Batch jobs in Redis: what a command that is started again goes on with.

``nt:batch:{JOB}`` is a hash: ``job`` holds the encoded :class:`~tickfence.batch.job.Job`, and ``sent:<partition>`` the
last dispatch of a partition, ``<owner> <generation>``. Beside it, in the same slot, each partition has a lease and a
result, which is written under that lease only. Everything expires a week after its last use.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tickfence.batch.job import Done, Job, Result, decode_job, decode_result, encode
from tickfence.batch.scheduling import Seen, Sent
from tickfence.coordination.lease import (
    Acquired,
    Lease,
    LeaseRecord,
    acquire_command,
    parse_grant,
    parse_outcomes,
    write_command,
)
from tickfence.coordination.owner import Owner
from tickfence.keys import Keys
from tickfence.redis_access.command import Command
from tickfence.redis_access.scripts import send

KEEP_MS = 7 * 86_400_000
LEASE_MS = 600_000
COMMAND_LEASE_MS = 5_000

_JOB, _SENT = "job", "sent:"
_LEASE_FIELDS = ("owner", "node", "token", "generation", "seq", "basis", "until")
_AT_ONCE = 500


class PartitionLease:
    """The right to record how one partition ended.

    Args:
        keys: of the deployment.
        job: the job's id.
        name: the partition's.
        owner: who asks, a batch worker or a command.
    """

    def __init__(self, keys: Keys, job: str, name: str, owner: Owner) -> None:
        self._lease = Lease(keys.batch_lease(job, name), owner, LEASE_MS)
        self._result = keys.batch_result(job, name)
        self._generation = 0

    @property
    def token(self) -> int:
        """The fencing token."""
        return self._lease.token

    def take(self, client: Any, generation: int) -> tuple[bool, Result | None]:
        """Ask for the lease; return whether it was granted, and how the partition has ended so far.

        Args:
            client: of the data plane.
            generation: of the dispatch. A newer one than the holder's takes the lease away from it.
        """
        self._generation = generation
        granted, _, result = send(client, [*self._acquire(), ("GET", self._result)])
        return self._lease.granted(parse_grant(granted), time.monotonic()), decode_result(result) if result else None

    def renew(self, client: Any) -> bool:
        """Extend the lease; return whether it is still held. Where Redis has lost it, it is taken again."""
        granted, _ = send(client, self._acquire())
        return self._lease.granted(parse_grant(granted), time.monotonic())

    def record(self, result: Result) -> Command:
        """The command that records ``result``; it may be sent again. :meth:`recorded` decodes its reply."""
        write = self._lease.next_write({self._result: encode(result)})
        return write_command(self._lease.owner, [write], KEEP_MS, LEASE_MS)

    @staticmethod
    def recorded(reply: Sequence[Any]) -> bool:
        """Whether the record was accepted."""
        return parse_outcomes(reply)[0].accepted

    def release(self, client: Any) -> None:
        """Give the lease back; its record goes by itself."""
        send(client, [self._lease.release(), self._expire()])

    def _acquire(self) -> list[Command]:
        acquire = acquire_command(self._lease.key, self._lease.owner, self._generation, LEASE_MS)
        return [acquire, self._expire()]  # acquire.lua keeps it for ever, and who takes it may be killed

    def _expire(self) -> Command:
        return "PEXPIRE", self._lease.key, KEEP_MS


class JobStore:
    """One job's record in Redis, as its command uses it.

    Args:
        client: of the data plane.
        keys: of the deployment.
        job: the job.
        owner: the command.
    """

    def __init__(self, client: Any, keys: Keys, job: Job, owner: Owner) -> None:
        self._client, self._keys, self._job, self._owner = client, keys, job, owner
        self._generation = 0

    def hold(self) -> Acquired:
        """Take or renew the right to dispatch the job's partitions; ``CONFLICT`` while another command has it.

        ``TAKEN`` says that nothing is known yet of what Redis holds: it is new, another command had it, or Redis has
        lost its data.
        """
        key = self._keys.batch_command(self._job.id)
        granted, _ = send(
            self._client,
            [acquire_command(key, self._owner, self._generation, COMMAND_LEASE_MS), ("PEXPIRE", key, KEEP_MS)],
        )
        return parse_grant(granted).outcome

    def holder(self) -> LeaseRecord:
        """Which command dispatches the job, and until when."""
        fields = self._client.hmget(self._keys.batch_command(self._job.id), _LEASE_FIELDS)
        return _record(fields)

    def follow(self, holder: LeaseRecord, *, seize: bool = False) -> None:
        """Let the next :meth:`hold` come after ``holder``: when its lease is over, or at once if it is to ``seize`` it."""
        self._generation = holder.generation + seize

    def store(self) -> None:
        """Write the job itself."""
        key = self._keys.batch(self._job.id)
        pipe = self._client.pipeline(transaction=False)
        pipe.hset(key, _JOB, encode(self._job))
        pipe.pexpire(key, KEEP_MS)
        pipe.execute()
        self._client.zadd(self._keys.batch_jobs, {self._job.id: self._job.created_ms})
        self._client.zremrangebyscore(self._keys.batch_jobs, 0, self._job.created_ms - KEEP_MS)

    def sent(self) -> dict[str, Sent]:
        """The last dispatch of each partition."""
        found = self._client.hgetall(self._keys.batch(self._job.id))
        return {
            field.removeprefix(_SENT): _parse_sent(value.decode())
            for field, value in ((field.decode(), value) for field, value in found.items())
            if field.startswith(_SENT)
        }

    def note_sent(self, sent: Mapping[str, Sent]) -> None:
        """Note dispatches, before they are sent."""
        fields = {f"{_SENT}{name}": f"{one.owner} {one.generation}" for name, one in sent.items()}
        self._client.hset(self._keys.batch(self._job.id), mapping=fields)

    def see(self, names: Iterable[str]) -> dict[str, Seen]:
        """What Redis holds of partitions."""
        return see(self._client, self._keys, self._job.id, names)

    def put(self, name: str, generation: int, result: Result, *, replaces: Done | None = None) -> Result:
        """Record how a partition ended in the place of its worker, which is fenced out; return what holds now.

        Args:
            name: the partition's.
            generation: above that of the worker's.
            result: what to record, unless the partition is done after all.
            replaces: what it is known to be done by, where that does not count.
        """
        lease = PartitionLease(self._keys, self._job.id, name, self._owner)
        granted, before = lease.take(self._client, generation)
        if isinstance(before, Done) and before != replaces:
            result = before
        elif granted:
            [reply] = send(self._client, [lease.record(result)])
            lease.recorded(reply)
        lease.release(self._client)
        return result

    def let_go(self) -> None:
        """Give the right to dispatch back."""
        key = self._keys.batch_command(self._job.id)
        send(self._client, [Lease(key, self._owner, COMMAND_LEASE_MS).release()])


def read_job(client: Any, keys: Keys, job: str) -> Job | None:
    """Read a job; ``None`` where Redis has none of this id.

    Raises:
        ValueError: what is stored is no job.
    """
    data = client.hget(keys.batch(job), _JOB)
    return decode_job(data) if data else None


def read_jobs(client: Any, keys: Keys) -> list[Job]:
    """Read all jobs that Redis knows, the newest first."""
    names = [name.decode() for name in client.zrevrange(keys.batch_jobs, 0, -1)]
    return [job for name in names if (job := read_job(client, keys, name))]


def see(client: Any, keys: Keys, job: str, names: Iterable[str]) -> dict[str, Seen]:
    """What Redis holds of a job's partitions.

    Raises:
        ValueError: what is stored is no result.
    """
    wanted, found = list(names), {}
    for first in range(0, len(wanted), _AT_ONCE):
        part = wanted[first : first + _AT_ONCE]
        pipe = client.pipeline(transaction=False)
        for name in part:
            # In this order: who has recorded a result gives the lease back after that.
            pipe.hmget(keys.batch_lease(job, name), _LEASE_FIELDS)
            pipe.get(keys.batch_result(job, name))
        replies = iter(pipe.execute())
        for name in part:
            lease, result = next(replies), next(replies)
            found[name] = Seen(decode_result(result) if result else None, _record(lease))
    return found


def _record(values: Sequence[bytes | None]) -> LeaseRecord:
    return LeaseRecord.from_hash(dict(zip((field.encode() for field in _LEASE_FIELDS), values, strict=True)))


def _parse_sent(text: str) -> Sent:
    owner, _, generation = text.rpartition(" ")
    return Sent(Owner.parse(owner), int(generation))
