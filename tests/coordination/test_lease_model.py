"""The lease scripts on a real Redis against a model in plain Python, over any history of owners and faults."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tickfence.coordination.lease import (
    Acquired,
    Entry,
    Grant,
    Lease,
    Write,
    Written,
    acquire_command,
    parse_grant,
    parse_outcomes,
    write_command,
)
from tickfence.coordination.owner import Owner
from tickfence.keys import Keys
from tickfence.redis_access.scripts import send

KEYS = Keys()
LONG_MS = 600_000
OWNERS = [Owner("node-001", "a"), Owner("node-001", "b"), Owner("node-002", "a"), Owner("node-003", "a")]
SYMBOLS = ["BTCUSDT", "ETHUSDT"]

owners = st.sampled_from(OWNERS)
batches = st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=2, unique=True)


@dataclass
class Recorded:
    """What the model holds to be true of one lease in Redis."""

    owner: Owner | None = None
    token: int = 0
    generation: int = 0
    seq: int = 0
    over: bool = True
    report: bytes | None = None
    rows: list[bytes] = field(default_factory=list)


@dataclass
class History:
    """What was ever granted and accepted for one symbol; nothing, not even lost data, takes any of it back."""

    owner_of: dict[int, Owner] = field(default_factory=dict)
    writes: list[tuple[int, int, bytes]] = field(default_factory=list)  # token, seq, body

    @property
    def top(self) -> int:
        return max([0, *self.owner_of, *(seq for _, seq, _ in self.writes)])


class LeaseMachine(RuleBasedStateMachine):
    """Owners that take turns, pause and come back; a Redis that loses scripts and data."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__()
        self.client = client
        client.flushall()
        self.leases = {s: Recorded() for s in SYMBOLS}
        self.histories = {s: History() for s in SYMBOLS}
        self.grants: dict[tuple[Owner, str], Grant] = {}  # what each owner believes, however old
        self.sent: list[tuple[str, Owner, int, int, bytes]] = []
        self.generation = 1
        self.bodies = 0

    @rule()
    def assignment_changes(self) -> None:
        self.generation += 1

    @rule(owner=owners, symbols=batches, age=st.sampled_from([0, 0, 0, 1, 2]))
    def acquire(self, owner: Owner, symbols: list[str], age: int) -> None:
        generation = max(1, self.generation - age)
        commands = [acquire_command(KEYS.lease(symbol), owner, generation, LONG_MS) for symbol in symbols]
        for symbol, reply in zip(symbols, send(self.client, commands), strict=True):
            grant = parse_grant(reply)
            self.check_grant(self.leases[symbol], self.histories[symbol], owner, generation, grant)
            if grant.granted:
                self.grants[owner, symbol] = grant

    def check_grant(self, lease: Recorded, history: History, owner: Owner, generation: int, grant: Grant) -> None:
        if generation < lease.generation:
            assert grant == Grant(Acquired.STALE, lease.token, lease.seq)
        elif lease.owner == owner:
            assert grant.outcome is Acquired.HELD
            if generation == lease.generation:
                assert grant[1:3] == (lease.token, lease.seq)
            else:
                assert grant.token > max([0, *history.owner_of])
                assert grant.seq == max(lease.seq, grant.token)
                history.owner_of[grant.token] = owner
                lease.token, lease.seq = grant.token, grant.seq
            lease.generation, lease.over = generation, False
        elif lease.owner and not lease.over and generation == lease.generation:
            assert grant == Grant(Acquired.CONFLICT, lease.token, lease.seq, str(lease.owner))
        else:
            assert grant.outcome is Acquired.TAKEN
            assert grant.token > max([0, *history.owner_of])
            assert grant.seq >= max([0, *(seq for _, seq, _ in history.writes)])
            assert grant.seq == max(lease.seq, grant.token)
            history.owner_of[grant.token] = owner
            lease.owner, lease.token, lease.seq = owner, grant.token, grant.seq
            lease.generation, lease.over = generation, False

    @rule(owner=owners, symbols=batches, skip=st.sampled_from([1, 1, 1, 2, 0, -1]))
    def write(self, owner: Owner, symbols: list[str], skip: int) -> None:
        """As its last grant says, however long ago that was: a paused writer knows no better."""
        calls = []
        for symbol in symbols:
            grant = self.grants.get((owner, symbol))
            if grant is None:
                continue
            self.bodies += 1
            calls.append((symbol, owner, grant.token, grant.seq + skip, b"%d" % self.bodies))
        self.send(calls)

    @rule(data=st.data())
    def write_again(self, data: st.DataObject) -> None:
        """A second try after a lost reply, at once or much later."""
        if self.sent:
            self.send([data.draw(st.sampled_from(self.sent))])

    @rule(owner=owners, symbol=st.sampled_from(SYMBOLS), token=st.integers(0, 2))
    def write_with_a_token_of_others(self, owner: Owner, symbol: str, token: int) -> None:
        known = sorted(self.histories[symbol].owner_of)[-3:]
        if token < len(known):
            self.bodies += 1
            self.send([(symbol, owner, known[token], self.histories[symbol].top + 1, b"%d" % self.bodies)])

    def send(self, calls: list[tuple[str, Owner, int, int, bytes]]) -> None:
        if not calls:
            return
        writes = [
            Write(KEYS.lease(s), token, seq, {KEYS.report(s): body}, 0, [Entry(KEYS.history(s), 9999, "r", body)])
            for s, _, token, seq, body in calls
        ]
        [reply] = send(self.client, [write_command(calls[0][1], writes, LONG_MS, LONG_MS)])
        for call, outcome in zip(calls, parse_outcomes(reply), strict=True):
            self.check_write(call, outcome)
        self.sent += calls

    def check_write(self, call: tuple[str, Owner, int, int, bytes], outcome: Written) -> None:
        symbol, owner, token, seq, body = call
        lease, history = self.leases[symbol], self.histories[symbol]
        if (lease.owner, lease.token) != (owner, token):
            assert outcome is Written.FENCED
        elif seq == lease.seq:
            assert outcome is Written.REPEATED
        elif seq < lease.seq:
            assert outcome is Written.OLD
        else:
            assert outcome is Written.WRITTEN
            assert history.owner_of[token] == owner
            if history.writes:
                last_token, last_seq, _ = history.writes[-1]
                assert token >= last_token
                assert seq > last_seq
            history.writes.append((token, seq, body))
            lease.seq, lease.report, lease.over = seq, body, False
            lease.rows.append(body)
            grant = self.grants.get((owner, symbol))
            if grant and grant.token == token:
                self.grants[owner, symbol] = grant._replace(seq=seq)

    @rule(owner=owners, symbol=st.sampled_from(SYMBOLS))
    def release(self, owner: Owner, symbol: str) -> None:
        lease = self.leases[symbol]
        released = send(self.client, [Lease(KEYS.lease(symbol), owner, LONG_MS).release()])
        assert released == [int(lease.owner == owner)]
        if lease.owner == owner:
            lease.owner, lease.over = None, True

    @rule(symbol=st.sampled_from(SYMBOLS))
    def time_runs_out(self, symbol: str) -> None:
        if self.leases[symbol].owner:
            self.client.hset(KEYS.lease(symbol), "until", 1)
            self.leases[symbol].over = True

    @rule()
    def redis_forgets_its_scripts(self) -> None:
        self.client.script_flush()

    @rule()
    def redis_loses_everything(self) -> None:
        self.client.flushall()
        self.client.script_flush()
        self.leases = {s: Recorded() for s in SYMBOLS}
        newest = max(history.top for history in self.histories.values())
        while self.now_ms() <= newest:
            pass  # no restart is as quick as that

    def now_ms(self) -> int:
        seconds, microseconds = self.client.time()
        return seconds * 1000 + microseconds // 1000

    @invariant()
    def redis_holds_what_the_model_holds(self) -> None:
        for symbol, lease in self.leases.items():
            assert self.client.get(KEYS.report(symbol)) == lease.report
            assert [row[b"r"] for _, row in self.client.xrange(KEYS.history(symbol))] == lease.rows
            stored = self.client.hmget(KEYS.lease(symbol), "owner", "node", "token", "generation", "seq")
            if lease.token == 0:
                assert stored == [None] * 5
                continue
            expected = [str(lease.owner) if lease.owner else "", lease.token, lease.generation, lease.seq]
            assert [v.decode() for v in (stored[0], *stored[2:])] == [str(v) for v in expected]
            if lease.owner:
                assert stored[1] == lease.owner.node.encode()


@pytest.mark.parametrize("steps", [15, 60])
def test_leases_follow_the_model(redis_client: redis.Redis, steps: int) -> None:
    run_state_machine_as_test(
        lambda: LeaseMachine(redis_client),
        settings=settings(
            max_examples=1200 // steps, stateful_step_count=steps, deadline=None, report_multiple_bugs=False
        ),
    )
