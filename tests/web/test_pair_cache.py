"""A pair is read once for all who ask for it."""

from __future__ import annotations

import asyncio

import redis

from tests.web.reporting import Cluster
from tickfence.readers.reader import Reader, UnknownPair
from tickfence.settings import Settings
from tickfence.web.pairs import PairCache


def test_who_asks_meanwhile_gets_the_same_and_what_failed_is_asked_for_again(redis_client: redis.Redis) -> None:
    cluster = Cluster(redis_client)
    url = "redis://{host}:{port}/{db}".format(**redis_client.connection_pool.connection_kwargs)

    async def ask() -> None:
        reader = Reader(Settings.from_environment({"REDIS_URL": url, "SYMBOLS": "AAUSDT"}))
        cache = PairCache(reader)
        for refused in await asyncio.gather(cache.get("AA-USDT"), cache.get("AA-USDT"), return_exceptions=True):
            assert isinstance(refused, UnknownPair)
        cluster.listed("AAUSDT", "AA", "USDT")
        again = PairCache(Reader(reader.settings))  # the listing was not known a moment ago
        leaving = asyncio.create_task(again.get("AA-USDT"))
        staying = asyncio.create_task(again.get("AA-USDT"))
        await asyncio.sleep(0)
        leaving.cancel()
        first = await staying
        assert first.venues[0].symbol == "AAUSDT"
        async with asyncio.timeout(20):
            while (await again.get("AA-USDT")).now == first.now:
                await reader.plane.read([])
        await reader.close()

    asyncio.run(ask())
