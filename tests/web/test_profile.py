"""Reading a volume profile: what there is of it, and how much is read."""

from __future__ import annotations

import asyncio

import redis

from tests.web.reporting import Cluster
from tickfence.streams.keys import info_key, trades_key
from tickfence.web.data_plane import DataPlane
from tickfence.web.profile import MOST_TRADES, Profile, Profiles, read_profile
from tools.local.embedded_redis import EmbeddedRedis

INFO = {"tick_size": "0.01", "step_size": "0.1", "status": "TRADING"}


def profile(server: EmbeddedRedis) -> Profile:
    """What is read of AAUSDT."""

    async def read() -> Profile:
        plane = DataPlane(server.url())
        try:
            return await read_profile(plane, "AAUSDT")
        finally:
            await plane.close()

    return asyncio.run(read())


def test_without_trades_or_tick_size_there_are_no_bins(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    assert profile(redis_server) == Profile("AAUSDT", 1800, 0, None, [])
    cluster = Cluster(redis_client)
    cluster.trade("AAUSDT", cluster.now_ms() - 1000, "100.00")
    assert profile(redis_server) == Profile("AAUSDT", 1800, 1, None, [])
    redis_client.hset(info_key("AAUSDT"), mapping=INFO)
    assert profile(redis_server) == Profile("AAUSDT", 1800, 1, 0.05, [(100.0, 0.5)])


def test_of_too_many_trades_the_newest_are_counted_and_the_window_says_so(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    now = Cluster(redis_client).now_ms()
    redis_client.hset(info_key("AAUSDT"), mapping=INFO)
    with redis_client.pipeline(transaction=False) as pipe:
        for place in range(MOST_TRADES + 100):
            fields = {"p": "90.00" if place < 100 else "100.00", "q": "0.5", "s": "b", "r": now}
            pipe.xadd(trades_key("AAUSDT"), fields, id=f"{now - 600_000 + place}-{place + 1}")
        pipe.execute()
    found = profile(redis_server)
    assert found.trade_count == MOST_TRADES
    assert 599 <= found.window_sec < 700, "the oldest that counts is ten minutes old"
    assert found.bins == [(100.0, MOST_TRADES / 2)]


def test_who_asks_soon_again_or_at_the_same_time_gets_the_same(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    cluster = Cluster(redis_client)
    cluster.trade("AAUSDT", cluster.now_ms() - 1000, "100.00")

    async def ask() -> list[Profile]:
        plane = DataPlane(redis_server.url())
        profiles = Profiles(plane)
        try:
            found = await asyncio.gather(profiles.get("AAUSDT"), profiles.get("AAUSDT"), profiles.get("BBUSDT"))
            return [*found, await profiles.get("AAUSDT")]
        finally:
            await plane.close()

    first, second, other, later = asyncio.run(ask())
    assert first is second is later
    assert other.symbol == "BBUSDT"
