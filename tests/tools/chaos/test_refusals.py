"""Which fenced writes changed nothing, told from what a real server shows of the product's own script."""

from __future__ import annotations

import redis

from tests.processes import wait_until
from tests.tools.chaos.test_recorder import KEYS, report
from tickfence.coordination.lease import (
    ACQUIRE,
    FENCED_WRITE,
    Write,
    acquire_command,
    parse_grant,
    parse_outcomes,
    write_command,
)
from tickfence.coordination.owner import Owner
from tickfence.redis_access.scripts import send
from tools.chaos.history import Refused
from tools.chaos.recorder import Recorder
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.ports import LOOPBACK

A, B = Owner("node-001", "a"), Owner("node-002", "b")


def acquire(client: redis.Redis, owner: Owner, symbol: str, generation: int) -> tuple[int, int]:
    [reply] = send(client, [acquire_command(KEYS.lease(symbol), owner, generation, 60_000)])
    grant = parse_grant(reply)
    return grant.token, grant.seq


def write(client: redis.Redis, owner: Owner, *numbered: tuple[str, int, int]) -> list[str]:
    """Write reports of (symbol, token, seq) in one call; the outcomes."""
    writes = [
        Write(KEYS.lease(symbol), token, seq, {KEYS.report(symbol): report(owner, token)})
        for symbol, token, seq in numbered
    ]
    [reply] = send(client, [write_command(owner, writes, 60_000, 60_000)])
    return [outcome.value for outcome in parse_outcomes(reply)]


def test_refused_and_repeated_writes_are_seen_and_no_others(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    for script in (ACQUIRE, FENCED_WRITE):
        redis_client.script_load(script.source)
    with Recorder(KEYS, LOOPBACK, redis_server.port) as recorder:
        wait_until(recorder.connected.is_set, "the recorder is connected")
        btc, seq_btc = acquire(redis_client, A, "BTCUSDT", 1)
        eth, seq_eth = acquire(redis_client, A, "ETHUSDT", 1)
        first = ("BTCUSDT", btc, seq_btc + 1), ("ETHUSDT", eth, seq_eth + 1)
        assert write(redis_client, A, *first) == ["written", "written"]
        assert write(redis_client, A, *first) == ["repeated", "repeated"]
        acquire(redis_client, B, "BTCUSDT", 2)
        second = ("BTCUSDT", btc, seq_btc + 2), ("ETHUSDT", eth, seq_eth + 2)
        assert write(redis_client, A, *second) == ["fenced", "written"]
        acquire(redis_client, B, "SOLUSDT", 2)  # the call by which the one before is known to be over
        wait_until(lambda: sum(isinstance(r, Refused) for r in recorder.records) >= 3, "three refusals")
    refused = [(r.symbol, r.owner) for r in recorder.records if isinstance(r, Refused)]
    assert refused == [("BTCUSDT", str(A)), ("ETHUSDT", str(A)), ("BTCUSDT", str(A))]
