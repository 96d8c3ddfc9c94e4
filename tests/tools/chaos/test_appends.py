"""Two ingests that write one symbol are found out: in histories, and in what a real Redis was told to do."""

from __future__ import annotations

import pytest
import redis

from tests.processes import wait_until
from tickfence.coordination.standby_lease import FENCED_COMMANDS, StandbyLease
from tickfence.keys import Keys
from tickfence.redis_access.command import Command
from tickfence.redis_access.scripts import send
from tools.chaos.appends import MIXED, NO_LEASE, NOT_ITS_NUMBER, TOKEN_BITS, UPDATE_LOST
from tools.chaos.checker import check
from tools.chaos.history import Appended
from tools.chaos.recorder import Recorder
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.ports import LOOPBACK

KEYS = Keys()
S = "kraken:BTC/USDT"
A, B = "ingest-1/a", "ingest-2/b"


def update(owner: str, token: int, first: int, last: int = 0, *, changes: bool = True) -> Appended:
    """Numbers are those behind the token."""
    start = token << TOKEN_BITS
    return Appended(1.0, S, owner, token, start + first, start + (last or first), changes)


CLEAN = [
    update(A, 5, 1, changes=False),
    update(A, 5, 2, 4),
    update(A, 5, 2, 4),  # sent again
    update(A, 5, 6, changes=False),  # of a new book
    update(A, 5, 7),
    Appended(1.0, S, A, 5),
    update(B, 8, 1, changes=False),
    Appended(1.0, S, B, 8),
    update(B, 8, 2),
]


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (None, None),
        (update(A, 9, 3), None),
        (update(A, 5, 8), MIXED),
        (Appended(1.0, S, A, 5), MIXED),
        (update(A, 8, 3), MIXED),
        (update(B, 8, 4), UPDATE_LOST),
        (Appended(1.0, S, B, 8, 3, 3), NOT_ITS_NUMBER),
        (Appended(1.0, S, "", 0, 3, 3), NO_LEASE),
    ],
)
def test_each_way_to_mix_is_found(last: Appended | None, kind: str | None) -> None:
    verdict = check([*CLEAN, *([last] if last else [])])
    assert [violation.kind for violation in verdict.violations] == ([kind] if kind else [])
    assert check([update(A, 5, 1), update(B, 8, 1)]).appends == 2


UNFENCED = FENCED_COMMANDS.source.replace("  return {0}\n", "")


def test_an_older_writer_shows_only_if_redis_lets_it_write(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    first, second = StandbyLease(KEYS.writer(S), A, 30), StandbyLease(KEYS.writer(S), B, 60_000)

    def take(lease: StandbyLease) -> bool:
        [reply] = send(redis_client, [lease.ask(ready=True)])
        return lease.on_reply(reply, 0.0)

    def update(lease: StandbyLease, number: int) -> Command:
        id_ = (lease.token << TOKEN_BITS) + number
        entry = ("XADD", f"{number}-{id_}", "U", id_, "b", "[[1,1]]", "a", "[]", "r", 1, "t", 0)
        return lease.fenced([KEYS.book(S)], [(0, entry)], ready=True)

    with Recorder(KEYS, LOOPBACK, redis_server.port) as recorder:
        wait_until(recorder.connected.is_set, "the recorder is connected")
        take(first)
        send(redis_client, [update(first, 1)])
        wait_until(lambda: take(second), "the lease is over")
        replies = send(redis_client, [update(second, 2), update(first, 3), update(second, 3)])
        assert replies[1] == [0]
        wait_until(lambda: len(recorder.records) == 3, "three updates")
        assert [one.owner for one in recorder.records if isinstance(one, Appended)] == [A, B, B]
        assert check(recorder.records).violations == []

        redis_client.execute_command("EVAL", UNFENCED, *update(first, 4)[2:])
        wait_until(lambda: recorder.appended[S].owner == A, "the older writer has written")
    assert FENCED_COMMANDS.source != UNFENCED
    assert [violation.kind for violation in check(recorder.records).violations] == [MIXED]
