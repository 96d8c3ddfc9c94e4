"""Reading a volume profile: what there is of it, and how much is read."""

from __future__ import annotations

import asyncio

import redis

from tests.web.reporting import EXAMPLE, Cluster
from tickfence.keys import Keys
from tickfence.readers.reader import Reader
from tickfence.settings import Settings
from tickfence.web.profile import MAX_TRADES, Profile, Profiles, fetch_profile
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()

INFO = {"tick_size": "0.01", "step_size": "0.1", "status": "TRADING"}


def reader_of(server: EmbeddedRedis) -> Reader:
    return Reader(Settings.from_environment({"REDIS_URL": server.url()}))


def profile(server: EmbeddedRedis) -> Profile:
    """What is read of AAUSDT."""

    async def read() -> Profile:
        reader = reader_of(server)
        try:
            return await fetch_profile(reader, "AAUSDT")
        finally:
            await reader.close()

    return asyncio.run(read())


def test_without_a_profile_in_the_report_or_a_tick_size_there_are_no_bins(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    cluster = Cluster(redis_client)
    cluster.trade("AAUSDT", cluster.now_ms() - 1000, "100.00")
    assert profile(redis_server) == Profile("AAUSDT", 0, 0, None, [])
    redis_client.set(KEYS.report("AAUSDT"), b"damaged")
    assert profile(redis_server) == Profile("AAUSDT", 0, 0, None, [])
    cluster.report("AAUSDT", liquidity={})
    assert profile(redis_server) == Profile("AAUSDT", 0, 0, None, [])
    cluster.report("AAUSDT")
    assert profile(redis_server) == Profile("AAUSDT", 1800, 1, None, [])
    for tick_size in ("", "0.00000000", "tick"):
        redis_client.hset(KEYS.info("AAUSDT"), mapping=INFO | {"tick_size": tick_size})
        assert profile(redis_server) == Profile("AAUSDT", 1800, 1, None, []), tick_size
    redis_client.hset(KEYS.info("AAUSDT"), mapping=INFO)
    assert profile(redis_server) == Profile("AAUSDT", 1800, 1, 0.05, [(100.0, 0.5)])


def test_the_window_is_what_the_report_covers_on_the_exchanges_clock(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    cluster = Cluster(redis_client)
    exchange_ms = cluster.now_ms() - 15_000
    redis_client.hset(KEYS.info("AAUSDT"), mapping=INFO)
    for age, price in ((70_000, "90.00"), (50_000, "100.00"), (1_000, "110.00")):
        cluster.trade("AAUSDT", exchange_ms - age, price)
    covered = {"volume_profile": EXAMPLE["liquidity"]["volume_profile"] | {"window_sec": 60}}
    cluster.report("AAUSDT", liquidity=covered, exchange_ahead_ms=-15_000)
    found = profile(redis_server)
    assert found.bins == [(100.0, 0.5), (110.0, 0.5)]
    assert 60 <= found.window_sec < 70


def test_a_report_that_is_no_longer_written_covers_nothing(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    cluster = Cluster(redis_client)
    redis_client.hset(KEYS.info("AAUSDT"), mapping=INFO)
    cluster.trade("AAUSDT", cluster.now_ms() - 600_000, "100.00")
    for age_ms, window_sec in ((20_000, 1800), (31_000, 0)):
        cluster.report("AAUSDT", age_ms=age_ms)
        assert profile(redis_server).window_sec == window_sec


def test_of_too_many_trades_the_newest_are_counted_and_the_window_says_so(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    cluster = Cluster(redis_client)
    cluster.report("AAUSDT")
    now = cluster.now_ms()
    redis_client.hset(KEYS.info("AAUSDT"), mapping=INFO)
    with redis_client.pipeline(transaction=False) as pipe:
        for place in range(MAX_TRADES + 100):
            fields = {"p": "90.00" if place < 100 else "100.00", "q": "0.5", "s": "b", "r": now}
            pipe.xadd(KEYS.trades("AAUSDT"), fields, id=f"{now - 600_000 + place}-{place + 1}")
        pipe.execute()
    found = profile(redis_server)
    assert found.trade_count == MAX_TRADES - 1, "of the millisecond of the oldest some may be missing"
    assert 599 <= found.window_sec < 700, "the oldest that counts is ten minutes old"
    assert found.bins == [(100.0, (MAX_TRADES - 1) / 2)]


def test_who_asks_soon_again_or_at_the_same_time_gets_the_same(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    cluster = Cluster(redis_client)
    cluster.report("AAUSDT")
    cluster.trade("AAUSDT", cluster.now_ms() - 1000, "100.00")

    async def ask() -> list[Profile]:
        reader = reader_of(redis_server)
        profiles = Profiles(reader)
        try:
            found = await asyncio.gather(profiles.get("AAUSDT"), profiles.get("AAUSDT"), profiles.get("BBUSDT"))
            return [*found, await profiles.get("AAUSDT")]
        finally:
            await reader.close()

    first, second, other, later = asyncio.run(ask())
    assert first is second is later
    assert other.symbol == "BBUSDT"
