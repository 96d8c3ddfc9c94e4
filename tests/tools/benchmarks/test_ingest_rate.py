"""The arithmetic of the ingest benchmark, and its bare redis-py against a real Redis."""

from __future__ import annotations

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from tickfence.keys import Keys
from tools.benchmarks.ingest_rate import Bare, Spent, spread, summary
from tools.benchmarks.recorded_exchange import RecordedFeed
from tools.local.embedded_redis import EmbeddedRedis
from tools.simulator import symbols
from tools.simulator.hub import Hub
from tools.simulator.market import Activity


@given(st.lists(st.floats(0.1, 1e6), min_size=2, max_size=50))
def test_a_spread_is_in_order_and_within_what_was_seen(values: list[float]) -> None:
    found = spread(values)
    in_order = [min(values), found["p5"], found["median"], found["p95"], max(values)]
    assert in_order == pytest.approx(sorted(in_order), rel=1e-12)


def test_ratios_are_of_rates_so_a_client_that_takes_twice_the_time_has_half() -> None:
    found = summary([(Spent(1_000, 4.0, 2.0, 0.5), Spent(500, 1.0, 0.5, 0.25))] * 3)
    assert found["cpu_ratio"]["median"] == pytest.approx(0.5)
    assert found["wall_ratio"]["median"] == pytest.approx(0.5)
    assert found["ingest_events_per_cpu_s"]["median"] == pytest.approx(500)
    assert found["bare_events_per_s"]["median"] == pytest.approx(500)


def test_bare_appends_the_same_entries_once(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    redis_client.flushall()
    bare = Bare(redis_server, ["BTCUSDT", "ETHUSDT"])
    copies = redis_server.client(2)
    for number in range(1, 4):
        redis_client.xadd(Keys().book("BTCUSDT"), {"U": number, "b": "[]"}, id=f"{1_000 + number}-{number}")
        redis_client.xadd(Keys().trades("ETHUSDT"), {"p": "1"}, id=f"{2_000 + number}-{number}")
        assert bare.copy().entries == 2
    assert bare.copy().entries == 0
    for key in (Keys().book("BTCUSDT"), Keys().trades("ETHUSDT")):
        assert copies.xrange(key) == redis_client.xrange(key)
        assert len(copies.xrange(key)) == 3


def test_the_recorded_market_is_the_simulator_s_at_its_own_rates() -> None:
    feed = RecordedFeed(symbols.parse("20"), 1, Activity(), Hub())
    made = feed.prepare(2.0)
    assert made["tickers"] == 40
    assert 360 < made["diffs"] <= 400
    assert 100 < made["trades"] < 300
    assert made != feed.prepare(2.0)
