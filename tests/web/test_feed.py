"""The reading behind the streams, as watchers come and go."""

from __future__ import annotations

import asyncio
import json

from tests.web.reporting import KEYS, Cluster
from tickfence.readers.reader import Reader
from tickfence.settings import Settings
from tickfence.timeline.events import conflict_event
from tickfence.web.events import fetch_events
from tickfence.web.feed import Feed
from tools.local.embedded_redis import EmbeddedRedis

SYMBOLS = ["AAUSDT", "BBUSDT"]


def test_one_who_comes_as_the_last_one_leaves_is_sent_a_whole_state(
    redis_server: EmbeddedRedis, cluster: Cluster
) -> None:
    """The reading for a client that left ends, and says so, while the reading for a new client has just begun."""
    for symbol in SYMBOLS:
        cluster.report(symbol)
    settings = Settings.from_environment({"REDIS_URL": redis_server.url(), "SYMBOLS": ",".join(SYMBOLS)})

    async def come_and_go() -> list[list[str]]:
        reader = Reader(settings)
        feed, shown = Feed(reader), []
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
            await reader.close()
        return shown

    assert asyncio.run(come_and_go()) == [SYMBOLS] * 3


def test_a_slow_client_of_many_symbols_holds_few_reports_and_gets_the_newest_of_the_others(
    redis_server: EmbeddedRedis, cluster: Cluster
) -> None:
    symbols = [f"S{number}USDT" for number in range(25)]
    for symbol in symbols:
        cluster.report(symbol)
    settings = Settings.from_environment({"REDIS_URL": redis_server.url(), "SYMBOLS": ",".join(symbols)})

    async def read() -> list[bytes]:
        reader = Reader(settings)
        feed = Feed(reader)
        slow, quick = feed.reports(symbols), feed.report(symbols[-1])
        try:
            taken = [await anext(slow)]
            await anext(quick)
            cluster.report(symbols[-1], last_price=8.5)
            while b'"last_price":8.5' not in await anext(quick):
                pass
            return taken + [await anext(slow) for _ in range(2)]
        finally:
            await slow.aclose()
            await quick.aclose()
            await feed.close()
            await reader.close()

    taken = asyncio.run(read())
    assert [part.count(b"event: report") for part in taken] == [10, 10, 5]
    assert b'"last_price":8.5' in taken[-1]


def test_events_go_on_when_redis_has_lost_those_before_and_its_clock_is_behind(
    redis_server: EmbeddedRedis, cluster: Cluster
) -> None:
    settings = Settings.from_environment({"REDIS_URL": redis_server.url(), "SYMBOLS": ",".join(SYMBOLS)})
    ahead = f"{cluster.now_ms() + 3_600_000}-0"

    async def read() -> list[str]:
        reader = Reader(settings)
        try:
            return [event.text for event in (await fetch_events(reader, ahead, 10))[1]]
        finally:
            await reader.close()

    assert asyncio.run(read()) == []
    cluster.event(conflict_event("AAUSDT", "node-001", "node-002"))
    assert len(asyncio.run(read())) == 1
    cluster.client.xadd(KEYS.events, {"kind": "node", "reason": "joined"}, id=ahead)
    assert asyncio.run(read()) == []
