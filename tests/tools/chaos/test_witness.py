"""What a witness sees of streams that are written, trimmed and lost; when processes live."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
import redis

from tests.processes import wait_until
from tickfence.keys import Keys
from tools.chaos.history import Lived, Record
from tools.chaos.lives import LifeSampler
from tools.chaos.witness import MAX_BLIND_S, Entry, Look, Span, What, Witness, WitnessedStream
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()
S = "BTCUSDT"
A, B, C = {b"p": b"1"}, {b"p": b"2"}, {b"p": b"3"}


def looked(*looks: Look) -> WitnessedStream:
    """A stream that was looked at."""
    stream = WitnessedStream()
    for look in looks:
        if stream.continues(look):
            stream.take(look)
        else:
            stream.begin_again(look)
    return stream


def test_an_entry_can_be_read_from_the_first_look_that_shows_it_to_the_last_one() -> None:
    stream = looked(
        Look(1.0, None, 0, []),
        Look(1.1, (5, 1), 1, [((5, 1), A)]),
        Look(1.2, (5, 1), 2, [((5, 1), A), ((6, 2), B)]),
        Look(1.3, (6, 2), 1, [((6, 2), B)]),
        Look(1.4, (6, 2), 1, [((6, 2), B)]),
    )
    assert stream.entries[5, 1] == Entry([A], [Span(1.1, 1.2)])
    assert stream.newest == (6, 2)
    stream.end()
    assert stream.entries[6, 2] == Entry([B], [Span(1.2, 1.4)])
    assert stream.unseen == []


def test_nothing_is_known_of_the_time_between_two_looks_that_are_far_apart() -> None:
    late = 1.1 + 2 * MAX_BLIND_S
    stream = looked(*(Look(at, (5, 1), 1, [((5, 1), A)]) for at in (1.0, 1.1, late, late + 0.1)))
    stream.end()
    assert stream.entries[5, 1].spans == [Span(1.0, 1.1), Span(late, late + 0.1)]


@pytest.mark.parametrize(
    "lost",
    [
        Look(1.2, None, 0, []),
        Look(1.2, (9, 9), 1, [((9, 9), C)]),  # the last one that is known has gone
        Look(1.2, (6, 2), 1, [((6, 2), C)]),  # it was written again
        Look(1.2, (5, 1), 3, [((6, 2), B)]),  # so was one before it
        Look(1.2, (4, 1), 4, [((6, 2), B), ((9, 9), C)]),
    ],
)
def test_a_stream_that_was_lost_is_noticed(lost: Look) -> None:
    stream = looked(*(Look(at, (5, 1), 2, [((5, 1), A), ((6, 2), B)][number:]) for number, at in enumerate((1.0, 1.1))))
    assert not stream.continues(lost)
    assert stream.continues(Look(1.2, (5, 1), 3, [((6, 2), B), ((9, 9), C)]))
    assert stream.continues(Look(1.2, (6, 2), 2, [((6, 2), B), ((9, 9), C)]))


def test_a_stream_that_was_lost_begins_again() -> None:
    stream = looked(*(Look(at, (5, 1), 2, [((5, 1), A), ((6, 2), B)][number:]) for number, at in enumerate((1.0, 1.1))))
    stream.begin_again(Look(1.3, (6, 2), 2, [((6, 2), C), ((9, 9), C)]))
    stream.take(Look(1.4, (6, 2), 2, [((9, 9), C)]))
    stream.end()
    assert stream.entries[5, 1].spans == [Span(1.0, 1.1)]
    assert stream.entries[6, 2] == Entry([B, C], [Span(1.0, 1.1), Span(1.3, 1.4)])
    assert stream.unseen == [((0, 0), (1300, 2**64))]


def test_what_came_unseen_came_behind_the_newest_entry_that_is_still_there() -> None:
    stream = looked(Look(1.0, (5, 1), 3, [((5, 1), A), ((6, 2), B), ((7, 3), C)]))
    stream.begin_again(Look(1.3, (5, 1), 3, [((5, 1), A), ((6, 2), B), ((6, 9), C)]))
    assert stream.unseen == [((6, 2), (1300, 2**64))]


@pytest.fixture
def server(own_redis_server: Callable[..., EmbeddedRedis]) -> EmbeddedRedis:
    return own_redis_server()


def add(client: redis.Redis, number: int) -> None:
    client.xadd(KEYS.trades(S), {"p": str(number)}, id=f"{number}-{number}")


def test_a_witness_follows_a_real_stream_through_trimming_loss_and_restart(server: EmbeddedRedis) -> None:
    with Witness(KEYS, [S], ["recorder-1", "recorder-2"], server.client) as witness, server.client() as client:
        trades = witness.streams[S, What.TRADES]

        def await_seen(number: int) -> None:
            wait_until(lambda: (number, number) in trades.entries, f"entry {number} is seen")

        witness.await_look()
        client.hset(KEYS.recorder_group.record("recorder-2"), "pid", "77")
        add(client, 1)
        await_seen(1)
        add(client, 2)
        await_seen(2)
        client.xtrim(KEYS.trades(S), minid="2-2", approximate=False)
        wait_until(lambda: trades.entries[1, 1].spans, "entry 1 is gone")
        assert trades.unseen == []
        client.flushall()
        add(client, 1)
        add(client, 3)
        await_seen(3)
        assert len(trades.unseen) == 1
        wait_until(lambda: len(trades.entries[2, 2].spans) == 1, "entry 2 is gone")
        server.kill()
        server.start()
        with server.client() as again:
            add(again, 4)
        await_seen(4)
        assert len(trades.unseen) == 2
    assert list(witness.registered) == [77]
    assert [len(trades.entries[n, n].fields) for n in (1, 2, 3, 4)] == [1] * 4
    assert sorted(trades.entries) == [(n, n) for n in (1, 2, 3, 4)]


def test_a_stopped_or_dead_process_does_not_live() -> None:
    records: list[Record] = []
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    looks = itertools.count()
    look = 0

    def pids() -> dict[str, int]:  # the sampler asks at each look, because one of the roles does not run
        nonlocal look
        look = next(looks)
        return {"recorder-1": process.pid, "recorder-2": 0}

    def await_looks() -> None:
        until = look + 2
        wait_until(lambda: look >= until, "two looks")

    try:
        with LifeSampler(records, ["recorder-1", "recorder-2"], pids):
            await_looks()
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: len(records) == 1, "it is stopped")
            process.send_signal(signal.SIGCONT)
            await_looks()
            process.kill()
            wait_until(lambda: len(records) == 2, "it is dead")
            process.wait()
            await_looks()
    finally:
        process.kill()
        process.wait()
    first, second = (record for record in records if isinstance(record, Lived))
    assert first.since <= first.time < second.since <= second.time
    assert {(life.role, life.pid) for life in (first, second)} == {("recorder-1", process.pid)}
    assert len(records) == 2
