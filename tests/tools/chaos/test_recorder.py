"""What Redis accepted, as a recorder saw it: from the product's own scripts, and from a writer that fences itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import redis

from tests.processes import wait_until
from tickfence.coordination import lease as leases
from tickfence.coordination.owner import Owner
from tickfence.keys import Keys
from tickfence.redis_access.scripts import send
from tools.chaos.checker import TOKEN_FELL, check
from tools.chaos.history import Acquisition, Record, Refused, Unobserved, Write, WrittenToOldMaster
from tools.chaos.recorder import Mastership, Recorder
from tools.chaos.reference_books import digest
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.ports import LOOPBACK

KEYS = Keys()
S = "BTCUSDT"
A, B = Owner("node-001", "a"), Owner("node-002", "b")
ROOT = Path(__file__).parents[3]


def report(owner: Owner, token: int, price: float = 1.5) -> bytes:
    level = [{"price": price, "qty": 2.0}]
    return msgspec.json.encode(
        {
            "writer": {"nodeId": owner.node, "writerToken": token},
            "symbol": 'quote " and \\',
            "depth": {"bids": level, "asks": []},
        }
    )


class Lease:
    """One owner's calls of the product's scripts."""

    def __init__(self, client: redis.Redis, owner: Owner) -> None:
        self._client, self._owner = client, owner

    def acquire(self, generation: int) -> tuple[int, int]:
        [reply] = send(self._client, [leases.acquire_command(KEYS.lease(S), self._owner, generation, 60_000)])
        grant = leases.parse_grant(reply)
        return grant.token, grant.seq

    def write(self, token: int, seq: int, values: dict[str, bytes], basis: int = 0) -> None:
        write = leases.Write(KEYS.lease(S), token, seq, values, basis)
        send(self._client, [leases.write_command(self._owner, [write], 60_000, 60_000)])


@contextmanager
def recording(*servers: EmbeddedRedis) -> Iterator[Recorder]:
    with Recorder(KEYS, LOOPBACK, *(server.port for server in servers)) as recorder:
        wait_until(recorder.connected.is_set, "the recorder is connected")
        yield recorder


def but_refusals(recorder: Recorder) -> list[Record]:
    """All but refusals: each script's first call is one, for a new server does not know it."""
    return [record for record in recorder.records if not isinstance(record, Refused)]


def test_accepted_writes_are_recorded_and_refused_ones_are_not(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    with recording(redis_server) as recorder:
        first, second = Lease(redis_client, A), Lease(redis_client, B)
        old, seq = first.acquire(1)
        first.write(old, seq + 1, {KEYS.report(S): report(A, old)}, basis=77)
        first.write(old, seq + 1, {KEYS.report(S): report(A, old)})  # repeated
        new, seq = second.acquire(2)
        first.write(old, seq + 5, {KEYS.report(S): report(A, old)})  # fenced
        second.write(new, seq + 2, {KEYS.slow(S): b"{}", KEYS.carry(S): b"c"})
        second.write(new, seq + 1, {KEYS.report(S): report(B, new)})  # old
        second.write(new, seq + 3, {KEYS.report(S): report(B, new, 1.7), KEYS.slow(S): b"{}"}, basis=78)
        wait_until(lambda: len(but_refusals(recorder)) >= 5, "five records")
    times = [record.time for record in but_refusals(recorder)]
    assert times == sorted(times)
    assert [msgspec.structs.replace(r, time=0.0) for r in recorder.records if isinstance(r, Acquisition | Write)] == [
        Acquisition(0.0, S, str(A), old),
        Write(0.0, S, str(A), old, but_refusals(recorder)[1].seq, 77, digest([(1.5, 2.0)], [])),  # type: ignore[union-attr]
        Acquisition(0.0, S, str(B), new),
        Write(0.0, S, str(B), new, seq + 2, 0, "", report=False),
        Write(0.0, S, str(B), new, seq + 3, 78, digest([(1.7, 2.0)], [])),
    ]
    assert recorder.latest[S].token == new
    assert check(recorder.records).violations == []


def test_the_recorder_comes_back_with_redis_and_says_what_it_missed(
    own_redis_server: Callable[..., EmbeddedRedis],
) -> None:
    server = own_redis_server()
    with recording(server) as recorder:
        server.kill()
        wait_until(lambda: not recorder.connected.is_set(), "the recorder has noticed")
        server.start()
        wait_until(recorder.connected.is_set, "the recorder is connected again")
        with server.client() as client:
            token, seq = Lease(client, A).acquire(1)
            Lease(client, A).write(token, seq + 1, {KEYS.report(S): report(A, token)})
        wait_until(lambda: len(but_refusals(recorder)) == 3, "three records")
    blind, take, write = but_refusals(recorder)
    assert isinstance(blind, Unobserved) and blind.since <= blind.time
    assert isinstance(take, Acquisition) and isinstance(write, Write)


def test_a_write_counts_once_and_only_on_the_master(own_redis_server: Callable[..., EmbeddedRedis]) -> None:
    first, second = own_redis_server(), own_redis_server()
    with first.client() as one, second.client() as two, recording(first, second) as recorder:

        def write(client: redis.Redis, owner: Owner) -> int:
            lease = Lease(client, owner)
            token, seq = lease.acquire(int(time.time() * 1000))
            lease.write(token, seq + 1, {KEYS.report(S): report(owner, token)})
            return token

        def in_step(replica: redis.Redis, master: redis.Redis) -> None:
            wait_until(lambda: replica.get(KEYS.report(S)) == master.get(KEYS.report(S)), "the replica is in step")

        def recorded(count: int) -> None:
            wait_until(lambda: len(but_refusals(recorder)) >= count, f"{count} records")

        two.replicaof(LOOPBACK, first.port)
        wait_until(lambda: two.role()[3] == b"connected", "the replica follows")
        tokens = [write(one, A)]
        in_step(two, one)
        recorded(2)
        two.replicaof("NO", "ONE")
        tokens.append(write(two, B))
        recorded(4)
        write(one, B)  # nobody has told the old master
        recorded(6)
        one.replicaof(LOOPBACK, second.port)
        wait_until(lambda: one.role()[3] == b"connected", "the old master follows")
        tokens.append(write(two, A))
        in_step(one, two)
        recorded(8)
        one.replicaof("NO", "ONE")
        recorder.promoted(LOOPBACK, first.port)
        write(two, B)  # although nobody has written to the new master yet
        recorded(10)
        tokens.append(write(one, B))
        recorded(12)
    found = but_refusals(recorder)
    assert [type(record) for record in found] == [Acquisition, Write] * 2 + [WrittenToOldMaster] * 2 + [
        Acquisition,
        Write,
    ] + [WrittenToOldMaster] * 2 + [
        Acquisition,
        Write,
    ]
    assert [record.token for record in found if isinstance(record, Write)] == tokens
    assert [record.server for record in found if isinstance(record, WrittenToOldMaster)] == [
        f"{LOOPBACK}:{server.port}" for server in (first, first, second, second)
    ]
    assert recorder.latest[S].token == tokens[-1]
    assert check(recorder.records).violations == []


def facts(recorder: Recorder) -> list[Record]:
    return [record for record in recorder.records if isinstance(record, Acquisition | Write | WrittenToOldMaster)]


def test_a_writer_that_checks_and_then_writes_is_found_out(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    """Two real processes; the first stands still between its check and its write, while the second takes over."""
    assert redis_client.dbsize() == 0
    with recording(redis_server) as recorder, writer(redis_server, "node-001", 1) as first:
        assert told(first, "write") == "written"
        tell(first, "pause")
        wait_until(lambda: stopped(first), "the first writer stands still")
        with writer(redis_server, "node-002", 2) as second:
            assert told(second, "write") == "written"
            first.send_signal(signal.SIGCONT)
            assert heard(first) == "written"
            assert told(first, "write") == "refused"
            assert told(second, "write") == "written"
        wait_until(lambda: len(recorder.records) == 6, "two takes and four writes")
    verdict = check(recorder.records)
    assert [violation.kind for violation in verdict.violations] == [TOKEN_FELL]
    old, new = (record.token for record in recorder.records if isinstance(record, Acquisition))
    assert verdict.violations[0].detail == f"{old} of node-001/1 after {new}"


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def told(process: subprocess.Popen[str], line: str) -> str:
    tell(process, line)
    return heard(process)


def stopped(process: subprocess.Popen[str]) -> bool:
    pid, status = os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)
    return pid == process.pid and os.WIFSTOPPED(status)


@contextmanager
def writer(server: EmbeddedRedis, node: str, generation: int) -> Iterator[subprocess.Popen[str]]:
    arguments = [str(server.port), S, node, str(generation)]
    command = [sys.executable, "-m", "tests.tools.chaos.check_then_write", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline().strip().isdigit()
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_first_that_accepts_a_write_is_the_master() -> None:
    mastership = Mastership()
    assert mastership.accepted("a")
    assert not mastership.accepted("b")
    assert mastership.accepted("a")


def test_a_replica_that_accepts_a_write_was_promoted_and_the_old_master_counts_no_more() -> None:
    mastership = Mastership()
    mastership.accepted("a")
    mastership.replicated("b")
    assert mastership.accepted("b")
    assert not mastership.accepted("a")
    assert mastership.accepted("b")


def test_the_old_master_counts_again_when_it_was_a_replica_and_is_promoted() -> None:
    mastership = Mastership()
    mastership.accepted("a")
    mastership.replicated("b")
    mastership.accepted("b")
    mastership.replicated("a")
    assert mastership.accepted("b")
    assert mastership.accepted("a")
    assert not mastership.accepted("b")


def test_a_promotion_that_was_seen_counts_before_the_first_write() -> None:
    mastership = Mastership()
    mastership.accepted("a")
    mastership.replicated("b")
    mastership.promoted("b")
    assert not mastership.accepted("a")
    assert mastership.accepted("b")


def test_what_a_new_master_replicated_a_moment_ago_does_not_make_it_a_replica() -> None:
    mastership = Mastership()
    mastership.accepted("a")
    mastership.promoted("b")
    mastership.replicated("b")
    mastership.replicated("a")
    assert mastership.accepted("a")
    assert not mastership.accepted("b")
