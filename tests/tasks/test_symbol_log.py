"""Events of symbols as metrics, log lines and entries of the timeline, which are few and which nobody waits for."""

from __future__ import annotations

import logging

import pytest
import redis

from tasks.symbol_events import Event, Kind
from tasks.symbol_log import Conflicts, SymbolLog
from tests.processes import wait_until
from tests.tasks.cycle_runs import KEYS, Counted, S
from tickfence.timeline import events
from tools.local.embedded_redis import EmbeddedRedis


def told(client: redis.Redis, count: int) -> list[dict[str, str]]:
    """The fields of the conflicts in the timeline, once there are ``count``."""
    wait_until(lambda: len(events.read(client, KEYS)) >= count, f"{count} events")
    return [event.fields for event in events.read(client, KEYS)]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_counted_or_logged(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    counts = [
        Counted("nt_lease_refused_total"),
        Counted("nt_lease_conflicts_total"),
        Counted("nt_writes_fenced_total"),
        Counted("nt_cold_starts_total", reason="gap"),
        *(
            Counted("nt_reports_withheld_total", reason=reason)
            for reason in ("bad entry", "bad lease", "book", "error", "horizon", "no snapshot", "no symbol", "pause")
        ),
    ]
    SymbolLog("redis://127.0.0.1:1/0", KEYS, "node-001")(Event(kind, S, "gap", 7))
    counted = sum(count() for count in counts)
    assert counted <= 1
    records = [record for record in caplog.records if record.name == "tasks.symbol_log"]
    assert counted or records
    for record in records:
        assert (record.symbol, record.node, record.token) == (S, "node-001", 7)


def test_a_detail_stands_in_the_line(caplog: pytest.LogCaptureFixture) -> None:
    SymbolLog("redis://127.0.0.1:1/0", KEYS, "node-001")(Event(Kind.BAD_ENTRY, S, "{it} has braces"))
    assert caplog.messages == ["unreadable market data: {it} has braces"]


def test_a_symbol_is_told_once(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    conflicts = Conflicts(redis_server.url(), KEYS, "node-002")
    for _ in range(3):
        conflicts.tell("BTCUSDT", "node-001")
        conflicts.tell("ETHUSDT", "node-003")
    assert told(redis_client, 2) == [
        {"symbol": "BTCUSDT", "node": "node-002", "holder": "node-001"},
        {"symbol": "ETHUSDT", "node": "node-002", "holder": "node-003"},
    ]


def test_and_again_after_a_while(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    conflicts = Conflicts(redis_server.url(), KEYS, "node-002", every_s=0.0)
    for _ in range(2):
        conflicts.tell("BTCUSDT", "node-001")
    assert [fields["symbol"] for fields in told(redis_client, 2)] == ["BTCUSDT", "BTCUSDT"]


def test_of_many_symbols_some_are_told(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    conflicts = Conflicts(redis_server.url(), KEYS, "node-002")
    for n in range(1000):
        conflicts.tell(f"S{n}", "node-001")
    symbols = [fields["symbol"] for fields in told(redis_client, Conflicts.MAX_SYMBOLS)]
    assert symbols == [f"S{n}" for n in range(Conflicts.MAX_SYMBOLS)]
