"""Who may record a symbol: the scripts on a real Redis."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis

from tests.processes import wait_until
from tickfence.keys import Keys
from tickfence.recorder.recording_lease import (
    Claim,
    Granted,
    Positions,
    Start,
    acquire_command,
    next_positions,
    note_command,
    parse_granted,
    parse_noted,
    release_command,
)
from tickfence.redis_access.scripts import send

KEY = Keys().recording("AAUSDT")
NOTHING = Claim(0, {}, {}, {})


def acquire(client: redis.Redis, recorder: str, claim: Claim = NOTHING, ttl_ms: int = 60_000) -> Granted:
    granted = parse_granted(send(client, [acquire_command(KEY, recorder, ttl_ms, claim)])[0])
    assert isinstance(granted, Granted), f"{granted} has it"
    return granted


def holder(client: redis.Redis, recorder: str, ttl_ms: int = 60_000) -> str:
    granted = parse_granted(send(client, [acquire_command(KEY, recorder, ttl_ms, NOTHING)])[0])
    assert isinstance(granted, str)
    return granted


def note(client: redis.Redis, token: int, positions: Positions, begins: Positions | None = None) -> Any:
    return parse_noted(send(client, [note_command(KEY, token, 60_000, begins or {}, positions)])[0])


def test_one_recorder_has_it_until_it_gives_it_back(redis_client: redis.Redis) -> None:
    one = acquire(redis_client, "one")
    assert holder(redis_client, "two") == "one"
    assert note(redis_client, one.token, {"trades": "5-7"}, {"trades": "5-0"}) is None
    assert send(redis_client, [release_command(KEY, one.token)]) == [1]
    two = acquire(redis_client, "two")
    assert two.token > one.token
    assert two.positions == {"trades": "5-7"}
    assert [start.owner for start in two.starts] == ["one", "two"]
    assert two.starts[0].at == {"trades": "5-0"}
    assert note(redis_client, one.token, {"trades": "9-9"}) == two.starts
    assert send(redis_client, [release_command(KEY, one.token)]) == [0]
    assert acquire(redis_client, "two").positions == {"trades": "5-7"}  # a process of this name before it is over


def test_it_ends_when_it_is_not_renewed(redis_client: redis.Redis) -> None:
    acquire(redis_client, "one", ttl_ms=50)
    began = time.monotonic()
    command = acquire_command(KEY, "two", 50, NOTHING)
    wait_until(lambda: isinstance(parse_granted(send(redis_client, [command])[0]), Granted), "it is free")
    assert time.monotonic() - began < 5


def test_it_waits_for_no_time_of_a_clock_that_was_ahead(redis_client: redis.Redis) -> None:
    acquire(redis_client, "one", ttl_ms=3_600_000)
    assert acquire(redis_client, "two", ttl_ms=1_500).starts[-1].owner == "two"


def test_a_recorder_goes_on_at_the_end_of_its_log_if_nobody_else_came(redis_client: redis.Redis) -> None:
    one = acquire(redis_client, "one")
    note(redis_client, one.token, {"trades": "5-7"})
    again = acquire(
        redis_client, "one", Claim(one.token, {"trades": "5-7"}, {"diffs": "5-0"}, {"trades": "5-9", "diffs": "5-3"})
    )
    assert again.positions == {"trades": "5-9", "diffs": "5-3"}
    assert next_positions(again.starts, one.token, ["trades", "diffs"]) == {"trades": "5-9", "diffs": "5-3"}
    assert again.starts[0].at == {"diffs": "5-0"}
    late = acquire(redis_client, "one", Claim(one.token, {"trades": "5-7"}, {}, {"trades": "5-99"}))
    assert late.positions == again.positions


def test_after_redis_was_emptied_it_goes_on_behind_what_it_had_noted(redis_client: redis.Redis) -> None:
    one = acquire(redis_client, "one")
    redis_client.flushall()
    assert note(redis_client, one.token, {"trades": "5-7"}) == []
    again = acquire(redis_client, "one", Claim(one.token, {"trades": "5-7"}, {}, {"trades": "5-9"}))
    assert again.token > one.token
    assert again.positions == {"trades": "5-7"}


@pytest.mark.parametrize("damaged", [lambda c: c.set(KEY, "x"), lambda c: c.hset(KEY, "starts", "{")])
def test_what_is_no_lease_is_replaced(redis_client: redis.Redis, damaged: Any) -> None:
    damaged(redis_client)
    assert len(acquire(redis_client, "one").starts) == 1
    redis_client.set(KEY, "x")
    assert note(redis_client, 1, {"trades": "5-7"}) == []


def start(token: int, **at: str) -> Start:
    return Start(token, "one", at)


def test_a_range_ends_where_the_next_recorder_began() -> None:
    starts = [start(1), start(2, trades="5-1", snapshots="d"), start(3, trades="5-9", diffs="5-5")]
    assert next_positions(starts, 1, ["trades"]) == {"trades": "5-1", "snapshots": "d"}
    assert next_positions(starts, 1, ["trades", "diffs"]) == {"trades": "5-1", "diffs": "5-5", "snapshots": "d"}
    assert next_positions(starts, 2, ["trades"]) == {"trades": "5-9", "diffs": "5-5"}
    assert next_positions(starts, 3, ["trades"]) is None
    assert next_positions(starts, 1, ["history"]) is None


def test_nothing_is_its_own_when_redis_knows_its_token_no_more() -> None:
    assert next_positions([start(8, trades="5-9"), start(10, trades="5-9")], 9, ["trades"]) == {}
    assert next_positions([], 9, ["trades"]) is None
