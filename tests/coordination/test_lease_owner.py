"""A lease as its owners know it, against the scripts on a real Redis: any order of cycles, lost replies and faults."""

from __future__ import annotations

import itertools
from typing import Any

import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tickfence.coordination.lease import (
    Acquired,
    Grant,
    Lease,
    LeaseRecord,
    NoLease,
    Write,
    Written,
    parse_grant,
    parse_outcomes,
    write_command,
)
from tickfence.coordination.owner import Owner
from tickfence.keys import Keys
from tickfence.redis_access.command import Command
from tickfence.redis_access.scripts import send

KEYS = Keys()
KEY, REPORT = KEYS.lease("BTCUSDT"), KEYS.report("BTCUSDT")
LONG_MS = 600_000
OWNERS = [Owner("node-001", "a"), Owner("node-001", "b"), Owner("node-002", "a")]

LOST = ["", "", "", "", "first reply", "all replies", "request"]

owners = st.sampled_from(OWNERS)


class Owners(RuleBasedStateMachine):
    """Owners that run cycles as a node does, on one lease of a Redis that loses data, scripts and replies.

    A cycle belongs to the newest assignment, or to the one before it.
    """

    def __init__(self, client: redis.Redis) -> None:
        super().__init__()
        self.client = client
        client.flushall()
        self.leases = {owner: Lease(KEY, owner, LONG_MS) for owner in OWNERS}
        self.generation = 1
        self.clock = itertools.count(1)
        self.bodies = itertools.count(1)
        self.sent: dict[tuple[int, int], bytes] = {}  # token, seq -> body: of every write ever made
        self.accepted: list[tuple[int, int]] = []  # in Redis' order
        self.renewed: dict[Owner, int | None] = dict.fromkeys(
            OWNERS
        )  # generation in which a write may spare an acquire

    def send(self, command: Command) -> Any:
        [reply] = send(self.client, [command])
        return reply

    def recorded(self) -> LeaseRecord:
        return LeaseRecord.from_hash(self.client.hgetall(KEY))

    @rule()
    def assignment_changes(self) -> None:
        self.generation += 1

    @rule(owner=owners, age=st.sampled_from([0, 0, 0, 1]), writes=st.booleans(), lost=st.sampled_from(LOST))
    def cycle(self, owner: Owner, age: int, writes: bool, lost: str) -> None:
        """One cycle of a symbol, as a node runs it.

        Args:
            age: of its assignment.
            writes: whether it has something to write.
            lost: what the connection loses of its write.
        """
        lease, generation = self.leases[owner], max(1, self.generation - age)
        if not self.acquire(lease, generation) or not writes:
            return
        if self.write(lease, lost) is False and not lease.asked:
            assert self.recorded().owner != str(owner) or self.recorded().token != lease.token
            # Lost since its renewal: asked for at once, it is had, or another has it.
            if self.acquire(lease, generation):
                assert self.write(lease, "") is True

    def acquire(self, lease: Lease, generation: int) -> bool:
        spared, self.renewed[lease.owner] = self.renewed[lease.owner], None
        command = lease.acquire(generation)
        assert (command is None) == (spared == generation), "one accepted write stands for one acquire"
        assert lease.asked == (command is not None)
        token, seq = lease.token, lease.seq
        if command is None:
            assert lease.granted(None, next(self.clock))
            return True
        grant = parse_grant(self.send(command))
        granted = lease.granted(grant, now := next(self.clock))
        assert granted == (self.recorded().owner == str(lease.owner) and generation == self.recorded().generation)
        if granted:
            assert lease.token == self.recorded().token >= token
            assert lease.seq >= max(seq, self.recorded().seq)
            assert lease.held_at == now
        else:
            assert (lease.token, lease.seq) == (token, seq)
            assert lease.moved(grant) == (self.recorded().token != token)
        return granted

    def write(self, lease: Lease, lost: str) -> bool | None:
        """Write once; return whether it was accepted, ``None`` where nobody knows."""
        body = b"%d" % next(self.bodies)
        write = lease.next_write({REPORT: body}, basis=7)
        assert (write.token, write.seq) not in self.sent, "a number is used once"
        self.sent[write.token, write.seq] = body
        held = (self.recorded().owner, self.recorded().token) == (str(lease.owner), lease.token)
        if lost == "request":
            return None
        outcomes = [self.send_write(lease, write) for _ in range(1 if lost in ("", "all replies") else 2)]
        assert {outcome.accepted for outcome in outcomes} == {held}, "the fence accepts the holder's next write, always"
        if held:
            self.accepted.append((write.token, write.seq))
        if lost == "all replies":
            return None
        accepted = lease.outcome(outcomes[-1], now := next(self.clock))
        assert accepted == held
        if accepted:
            self.renewed[lease.owner] = self.recorded().generation
            assert lease.held_at == now
        return accepted

    def send_write(self, lease: Lease, write: Write) -> Written:
        [outcome] = parse_outcomes(self.send(write_command(lease.owner, [write], LONG_MS, LONG_MS)))
        return outcome

    @rule(owner=owners)
    def release(self, owner: Owner) -> None:
        held = self.recorded().owner == str(owner)
        assert self.send(self.leases[owner].release()) == int(held)
        assert self.recorded().owner != str(owner)

    @precondition(lambda self: self.recorded().owner)
    @rule()
    def time_runs_out(self) -> None:
        self.client.hset(KEY, "until", 1)

    @rule()
    def redis_loses_everything(self) -> None:
        newest = max([0, *itertools.chain.from_iterable(self.sent)])
        self.client.flushall()
        self.client.script_flush()
        while self.now_ms() <= newest:
            pass  # no restart is as quick as that

    @rule(age=st.integers(1, 3))
    def redis_loses_the_last_write(self, age: int) -> None:
        """As a failover to a replica that lagged behind does."""
        if self.recorded().owner and len(self.accepted) > age and self.accepted[-age - 1][0] == self.recorded().token:
            newest = max(itertools.chain.from_iterable(self.sent))
            self.client.hset(KEY, "seq", self.accepted[-age - 1][1])
            while self.now_ms() <= newest:
                pass

    def now_ms(self) -> int:
        seconds, microseconds = self.client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    @invariant()
    def accepted_writes_only_go_up(self) -> None:
        assert self.accepted == sorted(set(self.accepted)), "a token fell, or a number was used again"
        assert [seq for _, seq in self.accepted] == sorted(seq for _, seq in self.accepted)
        if self.accepted and (report := self.client.get(REPORT)) is not None:
            assert report == self.sent[self.accepted[-1]]


def test_owners_follow_the_rules(redis_client: redis.Redis) -> None:
    run_state_machine_as_test(
        lambda: Owners(redis_client),
        settings=settings(max_examples=150, stateful_step_count=30, deadline=None, report_multiple_bugs=False),
    )


def test_a_number_of_a_refused_grant_is_not_taken() -> None:
    lease = Lease(KEY, OWNERS[0], LONG_MS)
    assert not lease.granted(Grant(Acquired.CONFLICT, 9, 9, "node-002/a"), 1.0)
    assert (lease.token, lease.seq) == (0, 0)


def test_where_there_is_no_lease_nothing_is_asked_for_and_every_write_counts() -> None:
    lease = NoLease(KEY, OWNERS[0])
    for generation in (0, 1, 1, 2):
        assert lease.acquire(generation) is None
        assert lease.granted(None, float(generation))
        write = lease.next_write({REPORT: b"{}"})
        assert write.token == 1
        assert lease.outcome(Written.WRITTEN, float(generation))
    assert lease.held_at == 2.0
