"""The lease scripts, case by case, on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.processes import wait_until
from tickfence.coordination.lease import (
    Acquired,
    Entry,
    Grant,
    Lease,
    LeaseRecord,
    Write,
    WriteCall,
    Written,
    acquire_command,
    parse_grant,
    parse_outcomes,
    write_command,
)
from tickfence.coordination.owner import Owner
from tickfence.keys import Keys
from tickfence.redis_access.command import Command
from tickfence.redis_access.scripts import send

KEYS = Keys()
S = "BTCUSDT"
A, B = Owner("node-001", "a"), Owner("node-002", "b")
TWIN = Owner("node-001", "b")
TTL = 60_000


class Leases:
    """One call at a time, for reading in tests."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def send(self, *commands: Command) -> list[Any]:
        """Send commands in one pipeline."""
        return send(self.client, commands)

    def acquire(self, owner: Owner, generation: int = 1, ttl_ms: int = TTL, symbol: str = S) -> Grant:
        [reply] = self.send(acquire_command(KEYS.lease(symbol), owner, generation, ttl_ms))
        return parse_grant(reply)

    def write(self, owner: Owner, token: int, seq: int, body: bytes = b"{}", **further: bytes) -> Written:
        """Write the report and, as ``slow`` and ``carry``, what the next owner starts with."""
        keys = {"slow": KEYS.slow(S), "carry": KEYS.carry(S)}
        values = {KEYS.report(S): body} | {keys[name]: value for name, value in further.items()}
        [outcome] = self.write_all(owner, [Write(KEYS.lease(S), token, seq, values)])
        return outcome

    def write_all(self, owner: Owner, writes: list[Write]) -> list[Written]:
        """Several writes in one command."""
        [reply] = self.send(write_command(owner, writes, TTL, TTL))
        return parse_outcomes(reply)

    def release(self, owner: Owner) -> int:
        [reply] = self.send(Lease(KEYS.lease(S), owner, TTL).release())
        return reply

    def fields(self) -> dict[str, str]:
        return {k.decode(): v.decode() for k, v in self.client.hgetall(KEYS.lease(S)).items()}

    def expire(self) -> None:
        """As if nobody had extended it: its time is over by the server's clock."""
        self.client.hset(KEYS.lease(S), "until", self.now_ms() - 1)

    def now_ms(self) -> int:
        seconds, microseconds = self.client.time()
        return seconds * 1000 + microseconds // 1000


@pytest.fixture
def leases(redis_client: redis.Redis) -> Iterator[Leases]:
    yield Leases(redis_client)


def test_a_free_lease_is_taken_and_recorded_whole(leases: Leases) -> None:
    before = leases.now_ms()
    grant = leases.acquire(A, generation=7, ttl_ms=500)
    after = leases.now_ms()
    assert grant.outcome is Acquired.TAKEN
    assert before <= grant.token <= after
    fields = leases.fields()
    assert fields.keys() >= {"owner", "node", "token", "generation", "seq", "until"}
    assert (fields["owner"], fields["node"], fields["generation"]) == ("node-001/a", "node-001", "7")
    assert (int(fields["token"]), int(fields["seq"])) == (grant.token, grant.seq)
    assert before + 500 <= int(fields["until"]) <= after + 500


def test_its_holder_extends_it_under_the_same_token(leases: Leases) -> None:
    first = leases.acquire(A, ttl_ms=1000)
    until = int(leases.fields()["until"])
    again = leases.acquire(A, ttl_ms=TTL)
    assert again == Grant(Acquired.HELD, first.token, first.seq)
    assert int(leases.fields()["until"]) > until


def test_a_newer_generation_gives_its_holder_a_new_token(leases: Leases) -> None:
    first = leases.acquire(A)
    again = leases.acquire(A, generation=2)
    assert again.outcome is Acquired.HELD
    assert again.token > first.token
    assert again.seq >= again.token
    assert leases.fields()["generation"] == "2"
    assert leases.acquire(A, generation=2) == again


def test_tokens_do_not_fall_when_redis_forgets_that_a_lease_changed_hands(leases: Leases) -> None:
    leases.acquire(A)
    remembered = leases.fields()
    other = leases.acquire(B, generation=2)
    wait_until(lambda: leases.now_ms() > other.token, "a crash takes its time")
    leases.client.hset(KEYS.lease(S), mapping=remembered)  # and the last seconds are lost with it
    again = leases.acquire(A, generation=3)
    assert again.token > other.token
    assert again.seq > other.seq


def test_its_holder_extends_it_also_after_its_time_if_nobody_took_it(leases: Leases) -> None:
    first = leases.acquire(A)
    leases.expire()
    assert leases.acquire(A) == Grant(Acquired.HELD, first.token, first.seq)
    assert leases.acquire(B).outcome is Acquired.CONFLICT


@pytest.mark.parametrize("other", [B, TWIN])
def test_another_owner_of_the_same_generation_is_a_conflict(leases: Leases, other: Owner) -> None:
    first = leases.acquire(A)
    before = leases.fields()
    assert leases.acquire(other) == Grant(Acquired.CONFLICT, first.token, first.seq, holder=str(A))
    assert leases.fields() == before


def test_an_older_generation_is_stale_for_everybody(leases: Leases) -> None:
    first = leases.acquire(A, generation=5)
    before = leases.fields()
    for owner in (A, B):
        assert leases.acquire(owner, generation=4) == Grant(Acquired.STALE, first.token, first.seq)
    assert leases.fields() == before
    leases.expire()
    assert leases.acquire(B, generation=4).outcome is Acquired.STALE
    leases.release(A)
    assert leases.acquire(B, generation=4).outcome is Acquired.STALE


def test_a_newer_generation_takes_over_at_once_and_the_late_write_is_refused(leases: Leases) -> None:
    first = leases.acquire(A, generation=1)
    second = leases.acquire(B, generation=2)
    assert second.outcome is Acquired.TAKEN
    assert second.token > first.token
    assert leases.write(B, second.token, second.seq + 1, b"B's") is Written.WRITTEN
    assert leases.write(A, first.token, second.seq + 2, b"A's") is Written.FENCED
    assert leases.client.get(KEYS.report(S)) == b"B's"
    assert leases.acquire(A, generation=1).outcome is Acquired.STALE


def test_an_expired_lease_is_taken_in_the_same_generation(leases: Leases) -> None:
    first = leases.acquire(A)
    leases.expire()
    second = leases.acquire(B)
    assert second.outcome is Acquired.TAKEN
    assert second.token > first.token
    assert leases.write(A, first.token, first.seq + 1) is Written.FENCED


def test_a_lease_ends_by_the_servers_clock(leases: Leases) -> None:
    leases.acquire(A, ttl_ms=1)
    deadline = int(leases.fields()["until"])
    while leases.now_ms() < deadline:
        pass
    assert leases.acquire(B).outcome is Acquired.TAKEN


def test_a_released_lease_is_taken_at_once_and_its_numbers_go_on(leases: Leases) -> None:
    first = leases.acquire(A, generation=3)
    leases.write(A, first.token, first.seq + 1)
    assert leases.release(B) == 0
    assert leases.fields()["owner"] == str(A)
    assert leases.release(A) == 1
    assert leases.release(A) == 0
    assert leases.write(A, first.token, first.seq + 2) is Written.FENCED
    second = leases.acquire(B, generation=3)
    assert second.outcome is Acquired.TAKEN
    assert second.token > first.token
    assert second.seq >= first.seq + 1


def test_a_released_lease_taken_back_has_a_new_token(leases: Leases) -> None:
    first = leases.acquire(A)
    leases.release(A)
    assert leases.acquire(A).token > first.token


def test_a_write_sets_the_report_and_its_time_to_live(leases: Leases) -> None:
    grant = leases.acquire(A)
    assert leases.write(A, grant.token, grant.seq + 1, b"r") is Written.WRITTEN
    assert leases.client.get(KEYS.report(S)) == b"r"
    assert 0 < leases.client.pttl(KEYS.report(S)) <= TTL
    assert int(leases.fields()["seq"]) == grant.seq + 1


def test_all_that_a_write_brings_is_set_or_none_of_it(leases: Leases) -> None:
    first = leases.acquire(A)
    assert leases.write(A, first.token, first.seq + 1, b"r1", slow=b"s1", carry=b"c1") is Written.WRITTEN
    keys = [KEYS.report(S), KEYS.slow(S), KEYS.carry(S)]
    assert leases.client.mget(keys) == [b"r1", b"s1", b"c1"]
    assert all(0 < leases.client.pttl(key) <= TTL for key in keys)
    assert leases.write(A, first.token, first.seq + 2, b"r2") is Written.WRITTEN
    assert leases.write(A, first.token, first.seq + 1, b"r3", slow=b"s3", carry=b"c3") is Written.OLD
    leases.acquire(B, generation=2)
    assert leases.write(A, first.token, first.seq + 9, b"r4", slow=b"s4", carry=b"c4") is Written.FENCED
    assert leases.client.mget(keys) == [b"r2", b"s1", b"c1"]


def test_a_write_is_accepted_once(leases: Leases) -> None:
    grant = leases.acquire(A)
    assert leases.write(A, grant.token, grant.seq + 2, b"new") is Written.WRITTEN
    assert leases.write(A, grant.token, grant.seq + 2, b"again") is Written.REPEATED
    assert leases.write(A, grant.token, grant.seq + 1, b"older") is Written.OLD
    assert leases.write(A, grant.token, grant.seq, b"older") is Written.OLD
    assert leases.client.get(KEYS.report(S)) == b"new"
    assert [w.accepted for w in Written] == [True, True, False, False]


@pytest.mark.parametrize("owner", [A, B, TWIN])
@pytest.mark.parametrize("change", [-1, 1])
def test_owner_and_token_must_both_be_the_recorded_ones(leases: Leases, owner: Owner, change: int) -> None:
    grant = leases.acquire(A)
    assert leases.write(owner, grant.token + change, grant.seq + 1) is Written.FENCED
    if owner is not A:
        assert leases.write(owner, grant.token, grant.seq + 1) is Written.FENCED
    assert leases.client.get(KEYS.report(S)) is None
    assert int(leases.fields()["seq"]) == grant.seq


def test_without_a_lease_nothing_is_written(leases: Leases) -> None:
    assert leases.write(A, 1, 1) is Written.FENCED
    assert leases.client.exists(KEYS.report(S), KEYS.lease(S)) == 0


def test_tokens_and_seq_grow_over_lost_data(leases: Leases) -> None:
    first = leases.acquire(A, generation=9)
    leases.write(A, first.token, first.seq + 1)
    while leases.now_ms() <= first.seq + 1:
        pass  # a Redis that lost its data was away for longer than that
    leases.client.flushall()
    assert leases.write(A, first.token, first.seq + 2) is Written.FENCED
    second = leases.acquire(A, generation=9)
    assert second.outcome is Acquired.TAKEN
    assert second.token > first.token
    assert second.seq > first.seq + 1


def test_a_server_clock_that_was_set_back_lowers_no_token(leases: Leases) -> None:
    ahead = leases.now_ms() + 3_600_000
    leases.client.hset(
        KEYS.lease(S),
        mapping={"owner": "x/y", "node": "x", "token": ahead, "generation": 1, "seq": ahead + 5, "until": 0},
    )
    assert leases.acquire(A) == Grant(Acquired.TAKEN, ahead + 1, ahead + 5)


def test_many_symbols_cost_one_pipeline_and_do_not_mix(leases: Leases) -> None:
    symbols = [f"S{i}USDT" for i in range(100)]
    leases.acquire(B, symbol="S7USDT")
    replies = leases.send(*(acquire_command(KEYS.lease(symbol), A, 1, TTL) for symbol in symbols))
    grants = dict(zip(symbols, map(parse_grant, replies), strict=True))
    assert {s for s, g in grants.items() if not g.granted} == {"S7USDT"}

    writes = [
        Write(KEYS.lease(s), grant.token, grant.seq + 1, {KEYS.report(s): s.encode()}) for s, grant in grants.items()
    ]
    written = dict(zip(symbols, leases.write_all(A, writes), strict=True))
    assert {s for s, w in written.items() if not w.accepted} == {"S7USDT"}
    bodies = leases.client.mget([KEYS.report(s) for s in symbols])
    assert bodies == [None if s == "S7USDT" else s.encode() for s in symbols]


def test_a_new_owner_starts_above_writes_that_redis_has_lost(leases: Leases) -> None:
    first = leases.acquire(A)
    kept = leases.fields()
    for seq in range(first.seq + 1, first.seq + 9):
        assert leases.write(A, first.token, seq) is Written.WRITTEN
    leases.client.hset(KEYS.lease(S), mapping=kept)  # as a replica that lagged behind, or a snapshot of a while ago
    while leases.now_ms() <= first.seq + 8:  # writes are a period apart, so there were fewer than milliseconds
        pass
    leases.expire()
    assert leases.acquire(B).seq > first.seq + 8


def test_only_an_accepted_write_renews_the_lease(leases: Leases) -> None:
    grant = leases.acquire(A)
    leases.client.hset(KEYS.lease(S), "until", 1)
    assert leases.write(A, grant.token - 1, grant.seq + 1) is Written.FENCED
    assert leases.fields()["until"] == "1"
    assert leases.write(A, grant.token, grant.seq + 1) is Written.WRITTEN
    assert int(leases.fields()["until"]) > grant.token  # both on the server's clock
    assert leases.acquire(B).outcome is Acquired.CONFLICT


def test_a_lease_key_of_another_type_stops_its_own_write_and_no_other(leases: Leases) -> None:
    grant = leases.acquire(A)
    leases.client.set(KEYS.lease("ODDUSDT"), "not a hash")
    odd = Write(KEYS.lease("ODDUSDT"), grant.token, grant.seq + 1, {KEYS.report("ODDUSDT"): b"odd"})
    good = Write(KEYS.lease(S), grant.token, grant.seq + 1, {KEYS.report(S): b"good"})
    assert leases.write_all(A, [odd, good]) == [Written.FENCED, Written.WRITTEN]
    assert leases.client.mget(KEYS.report("ODDUSDT"), KEYS.report(S)) == [None, b"good"]


def test_a_record_is_what_the_scripts_have_written(leases: Leases) -> None:
    assert LeaseRecord.from_hash(leases.client.hgetall(KEYS.lease(S))) == LeaseRecord()
    grant = leases.acquire(A, generation=7)
    leases.write(A, grant.token, grant.seq + 1)
    fields = leases.client.hgetall(KEYS.lease(S))
    record = LeaseRecord.from_hash(fields)
    until = int(fields[b"until"])
    assert record == LeaseRecord(str(A), "node-001", grant.token, 7, grant.seq + 1, 0, until)
    assert record.holder == "node-001"
    leases.release(A)
    released = LeaseRecord.from_hash(leases.client.hgetall(KEYS.lease(S)))
    assert (released.owner, released.holder, released.until_ms) == ("", "", 0)


@pytest.mark.parametrize("left", ["nothing", "an older token"])
def test_an_owner_gets_no_token_below_one_that_it_has_had(leases: Leases, left: str) -> None:
    """Redis has lost the newest token, and its clock is behind the time that the token is of."""
    lost = leases.now_ms() + 3_600_000
    if left == "an older token":
        leases.acquire(A)
    for owner in (A, B):
        [reply] = leases.send(acquire_command(KEYS.lease(S), owner, 1 + (owner is B), TTL, lost))
        grant = parse_grant(reply)
        assert grant.granted and grant.token > lost and grant.seq >= grant.token
    assert leases.write(B, grant.token, grant.seq + 1) is Written.WRITTEN


def test_a_lost_stream_begins_again_behind_what_its_writer_has_seen(leases: Leases) -> None:
    grant, ahead = leases.acquire(A), leases.now_ms() + 3_600_000
    for number in (1, 2):
        row = Entry(KEYS.history(S), 3600, "r", b"row", ahead)
        leases.write_all(A, [Write(KEYS.lease(S), grant.token, grant.seq + number, {}, 0, [row])])
    assert [entry for entry, _ in leases.client.xrange(KEYS.history(S))] == [b"%d-%d" % (ahead, n) for n in (0, 1)]
    early = Entry(KEYS.basis(S), 3600, "b", b"basis", leases.now_ms() - 1)
    leases.write_all(A, [Write(KEYS.lease(S), grant.token, grant.seq + 3, {}, 0, [early])])
    [(entry, _)] = leases.client.xrange(KEYS.basis(S))
    assert int(entry.split(b"-")[0]) < ahead


def test_a_call_of_the_fenced_write_is_told_from_other_commands() -> None:
    row = Entry(KEYS.history(S), 3600, "r", b"row")
    commands = [
        write_command(A, [Write(KEYS.lease(S), 1, 2, {KEYS.report(S): b"r"}, 0, [row])], TTL, TTL),
        acquire_command(KEYS.lease(S), A, 1, TTL),
        Lease(KEYS.lease(S), A, TTL).release(),
    ]
    sent = [[a if isinstance(a, bytes) else str(a).encode() for a in command] for command in commands]
    called = WriteCall(str(A), (KEYS.lease(S),), (KEYS.report(S), KEYS.history(S)))
    assert WriteCall.from_command(sent[0]) == WriteCall.from_command(sent[0][:7]) == called
    assert [WriteCall.from_command(command) for command in sent[1:]] == [None, None]
    assert WriteCall.from_command([b"SET", KEYS.lease(S).encode(), b"1"]) is None
