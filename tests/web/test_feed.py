"""The reading behind the streams, as watchers come and go."""

from __future__ import annotations

import asyncio
import json

from tests.web.reporting import Cluster
from tickfence.settings import Settings
from tickfence.web.data_plane import DataPlane
from tickfence.web.feed import Feed
from tools.local.embedded_redis import EmbeddedRedis

SYMBOLS = ["AAUSDT", "BBUSDT"]


def test_one_who_comes_as_the_last_one_leaves_is_sent_a_whole_state(
    redis_server: EmbeddedRedis, cluster: Cluster
) -> None:
    """The reading for the one who left ends, and says so, while that for the newcomer has just begun."""
    for symbol in SYMBOLS:
        cluster.report(symbol)
    settings = Settings.from_environment({"REDIS_URL": redis_server.url(), "SYMBOLS": ",".join(SYMBOLS)})

    async def come_and_go() -> list[list[str]]:
        plane = DataPlane(redis_server.url())
        feed, shown = Feed(plane, settings), []
        try:
            for _ in range(3):
                frames = feed.table()
                state = (await anext(frames)).decode()
                await frames.aclose()
                assert state.startswith("event: state\n")
                data = json.loads(state.split("data: ", 1)[1].splitlines()[0])
                shown.append([row["symbol"] for row in data["symbols"]])
        finally:
            await feed.close()
            await plane.close()
        return shown

    assert asyncio.run(come_and_go()) == [SYMBOLS] * 3
