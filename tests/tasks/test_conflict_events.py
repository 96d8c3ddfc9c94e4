"""Refused leases in the stream of events: bounded, and written by nobody who waits for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tasks import conflict_events
from tasks.conflict_events import MOST, ConflictEvents
from tickfence.keys import Keys
from tickfence.timeline import events
from tools.local.embedded_redis import EmbeddedRedis


@pytest.fixture
def conflicts(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> Iterator[ConflictEvents]:
    assert redis_client.dbsize() == 0
    made = ConflictEvents(redis_server.url(), Keys(), "node-002")
    yield made
    made._writer.close(10)


def symbols(client: redis.Redis, conflicts: ConflictEvents) -> list[str]:
    conflicts._writer.close(10)
    return [event.fields["symbol"] for event in events.read(client, Keys())]


def test_a_symbol_is_told_once(conflicts: ConflictEvents, redis_client: redis.Redis) -> None:
    for _ in range(3):
        conflicts.tell("BTCUSDT", "node-001")
        conflicts.tell("ETHUSDT", "node-003")
    assert symbols(redis_client, conflicts) == ["BTCUSDT", "ETHUSDT"]
    assert events.read(redis_client, Keys())[1].fields == {
        "symbol": "ETHUSDT",
        "node": "node-002",
        "holder": "node-003",
    }


def test_and_again_after_a_while(
    conflicts: ConflictEvents, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    conflicts.tell("BTCUSDT", "node-001")
    monkeypatch.setattr(conflict_events, "EVERY_S", 0.0)
    conflicts.tell("BTCUSDT", "node-001")
    assert symbols(redis_client, conflicts) == ["BTCUSDT", "BTCUSDT"]


def test_of_many_symbols_some_are_told(conflicts: ConflictEvents, redis_client: redis.Redis) -> None:
    for n in range(1000):
        conflicts.tell(f"S{n}", "node-001")
    assert symbols(redis_client, conflicts) == [f"S{n}" for n in range(MOST)]


def test_where_redis_is_away_nothing_is_raised() -> None:
    away = ConflictEvents("redis://127.0.0.1:1/0", Keys(), "node-002")
    away.tell("BTCUSDT", "node-001")
    away._writer.close(10)
