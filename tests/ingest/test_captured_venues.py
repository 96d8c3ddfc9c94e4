"""Kraken and Coinbase end to end: a real ingest at a replay in their dialect, with faults, and what a reader makes of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis

from ingest.service import Ingest
from tests.ingest import made_recordings
from tests.ingest.test_recorded_streams import COINBASE, KRAKEN, recorded
from tests.ingest.writing import counted, reader_book, until
from tests.oracles import coinbase_book, kraken_book
from tickfence.analytics.book import BookGap, OrderBook
from tickfence.keys import Keys
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis
from tools.simulator.captured import dialect_of
from tools.simulator.captured.server import CapturedServer
from tools.simulator.listening import listen

KEYS = Keys()


class Exchange(CapturedServer):
    """A recording that a test sends on, message by message."""

    def __init__(self, stem: Path) -> None:
        kind = dialect_of(str(stem))
        assert kind is not None
        super().__init__(kind(str(stem)), 1.0)
        self.dialect = kind(str(stem))
        self.left = iter(self.dialect.messages)
        self.address = ""

    async def go_on(self, count: int) -> None:
        """Send the next messages."""
        for _ in range(count):
            await self.replay.send(next(self.left))

    async def fault(self, name: str, **parameters: Any) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://{self.address}/simulator/faults/{name}", json=parameters) as answer,
        ):
            assert answer.status == 200, await answer.text()

    def carried(self) -> list[set[str]]:
        """The streams of each connection."""
        return [set(one.streams) for one in self.replay.subscribers]

    def asked(self, stream: str) -> int:
        """How often a stream was subscribed to."""
        return sum(request.add and stream in request.streams for request in self.requests)


@asynccontextmanager
async def ingesting(exchange: Exchange, server: EmbeddedRedis, *symbols: str, **variables: str) -> AsyncIterator[None]:
    runner, port = await listen(exchange.application(), "127.0.0.1", 0)
    exchange.address = f"127.0.0.1:{port}"
    venue = exchange.dialect.name
    urls = f"{venue}.ws=ws://{exchange.address},{venue}.rest=http://{exchange.address}"
    names = ",".join(f"{venue}:{symbol}" for symbol in symbols or sorted(exchange.dialect.symbols))
    given = {"REDIS_URL": server.url(), "SYMBOLS": names, "NT_VENUE_URLS": urls}
    ingest = Ingest(Settings.from_environment(given | variables))
    task = asyncio.create_task(ingest.run())
    try:
        yield
    finally:
        ingest.stop()
        await task
        await runner.cleanup()


def shown(client: redis.Redis, symbol: str) -> OrderBook | None:
    """A reader's book; None while there is none, or the updates do not connect and a new one is on its way."""
    try:
        return reader_book(client, symbol) if client.exists(KEYS.snapshot(symbol)) else None
    except BookGap:
        return None


def bids(client: redis.Redis, symbol: str) -> list[float]:
    """The quantities of the two best bids, as a reader sees them."""
    book = shown(client, symbol)
    return [] if book is None else book.bids.top(2)[1]


def info(client: redis.Redis, symbol: str) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in client.hgetall(KEYS.info(symbol)).items()}


def published(client: redis.Redis, symbol: str) -> list[bytes]:
    return [fields[b"b"] for _, fields in client.xrange(KEYS.book(symbol))]


def test_kraken_with_faults(
    redis_server: EmbeddedRedis, redis_client: redis.Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made_recordings.kraken(tmp_path / "kraken", "AAA/USD", "XBT/USD", updates=40)
    exchange = Exchange(tmp_path / "kraken")
    a, b = "kraken:AAA/USD", "kraken:BTC/USD"
    client = redis_client
    before = counted("nt_ingest_resyncs_total", venue="kraken", reason="checksum")

    def both_have(*quantities: float) -> bool:
        return bids(client, a) == bids(client, b) == [*quantities]

    async def test() -> None:
        async with ingesting(exchange, redis_server):
            await until(lambda: sum(map(len, exchange.carried())) == 7, "all subscriptions")
            assert exchange.asked("instrument") == 1
            await exchange.go_on(4 + 4)  # the snapshots and tickers, and one update and trade of each
            await until(lambda: both_have(1.5, 2.0), "the first updates")
            await until(lambda: client.xlen(KEYS.trades(a)) == 1, "the trade")
            rules = {"tick_size": "0.01", "step_size": "0.00000001", "status": "trading", "base": "BTC", "quote": "USD"}
            await until(lambda: info(client, b).items() >= rules.items(), "the rules")

            await exchange.fault("checksum", symbol="AAA/USD")
            await exchange.go_on(4)
            await until(lambda: exchange.asked("book:AAA/USD") == 2, "another subscription")
            await until(lambda: both_have(1.5, 2.5), "the book that it brought")
            assert b"[[99.1,2.5]]" not in published(client, a), "nothing is published that is not proved"
            await exchange.fault("skip", symbol="AAA/USD")
            await exchange.go_on(4)
            await exchange.go_on(4)
            await until(lambda: both_have(3.5, 4.5), "the right book after a lost update")
            assert exchange.asked("book:BTC/USD") == 1

            await exchange.fault("status", system="maintenance")
            await until(lambda: info(client, a)["status"] == info(client, b)["status"] == "halted", "a halt")
            await exchange.fault("status", system="online")
            await until(lambda: info(client, a)["status"] == info(client, b)["status"] == "trading", "trading again")

            await exchange.fault("refuse", symbol="BTC/USD", error="Currency pair not supported BTC/USD")
            await exchange.fault("connections", count=1)
            await exchange.fault("drop")
            await until(lambda: "book:AAA/USD" in (exchange.carried() or [set()])[0], "another connection")
            await exchange.go_on(4)
            await until(lambda: bids(client, a) == [5.5, 4.5], "the symbol that is not refused")
            assert bids(client, b) == [3.5, 4.5]
            assert b"[[100.1,5.5]]" not in published(client, b)

    asyncio.run(test())
    assert counted("nt_ingest_resyncs_total", venue="kraken", reason="checksum") - before == 2
    said = [record.getMessage() for record in caplog.records]
    assert said.count("the exchange refused a subscription") == 1
    ended = [vars(record)["reason"] for record in caplog.records if "connection to the exchange" in record.getMessage()]
    assert ended[-1] == "the handshake was refused: HTTP 429"
    notices = [vars(record)["notice"] for record in caplog.records if "tells its users" in record.getMessage()]
    assert notices == ["the trading engine is maintenance", "the trading engine is online"]


def test_coinbase_with_faults(
    redis_server: EmbeddedRedis, redis_client: redis.Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made_recordings.coinbase(tmp_path / "coinbase", "AAA-USD", "BTC-EUR", updates=40)
    exchange = Exchange(tmp_path / "coinbase")
    a, b, gone = "coinbase:AAA-USD", "coinbase:BTC-EUR", "coinbase:GONE-USD"
    client = redis_client

    async def test() -> None:
        async with ingesting(exchange, redis_server, "AAA-USD", "BTC-EUR", "GONE-USD"):
            await until(lambda: sum(map(len, exchange.carried())) == 8, "all subscriptions")
            await exchange.go_on(2 + 4)
            await until(lambda: bids(client, a) == bids(client, b) == [1.5, 2.0], "the first updates")
            rules = {"tick_size": "0.01", "step_size": "0.001", "status": "trading", "base": "BTC", "quote": "EUR"}
            await until(lambda: info(client, b).items() >= rules.items(), "the rules")
            await until(lambda: info(client, gone).get("status") == "delisted", "what there is not")

            half = '{"type":"l2update","product_id":"AAA-USD","changes":[["buy","99'
            await exchange.fault("send", text=half, symbol="AAA-USD")
            await until(lambda: exchange.asked("level2_batch:AAA-USD") == 2, "another subscription")
            await exchange.go_on(4)
            await until(lambda: bids(client, a) == bids(client, b) == [1.5, 2.5], "the book that it brought")
            assert exchange.asked("level2_batch:BTC-EUR") == 1
            await exchange.fault("send", text="rubbish")
            await until(lambda: exchange.asked("level2_batch:BTC-EUR") == 2, "every book again")

            await exchange.fault("drop")
            await until(lambda: exchange.carried() == [], "the end of the connection")
            await exchange.go_on(4)  # nobody hears it
            await until(lambda: sum(map(len, exchange.carried())) == 8, "another connection")
            await exchange.go_on(4)
            await until(lambda: bids(client, a) == bids(client, b) == [3.5, 4.5], "the books of the next connection")
            ids = [1, 2, 3, 4]
            await until(
                lambda: [_id(one) for one in client.xrange(KEYS.trades(a))] == ids, "the missing trade, by REST"
            )

    asyncio.run(test())
    refused = [vars(record) for record in caplog.records if "refused a subscription" in record.getMessage()]
    assert [line["error"] for line in refused][:1] == ["Failed to subscribe: GONE-USD is not a valid product"]


def _id(entry: tuple[bytes, Any]) -> int:
    return int(entry[0].split(b"-")[1])


@recorded(KRAKEN)
@pytest.mark.parametrize("name", ["kraken", "coinbase"])
def test_a_recording_at_full_speed(
    name: str, redis_server: EmbeddedRedis, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    stem = {"kraken": KRAKEN, "coinbase": COINBASE}[name]
    exchange = Exchange(stem)
    oracle = kraken_book.states(stem) if name == "kraken" else coinbase_book.states(stem)
    truth: dict[str, tuple[dict[float, float], dict[float, float]]] = {}
    for state in oracle:
        truth[state[0].replace("XBT", "BTC")] = state.bids, state.asks

    def right(symbol: str) -> bool:
        """Whether a reader's book is the recorded one, as far as it is known: of more levels the best 1,000 are stored."""
        book = shown(redis_client, f"{name}:{symbol}")
        if book is None or not min(len(book.bids), len(book.asks)):
            return False
        lowest, highest = book.bids.horizon or 0.0, book.asks.horizon or math.inf
        bids = sorted((level for level in truth[symbol][0].items() if level[0] >= lowest), reverse=True)
        return book.levels() == (bids, sorted(level for level in truth[symbol][1].items() if level[0] <= highest))

    async def test() -> None:
        async with ingesting(exchange, redis_server, NT_SNAPSHOT_INTERVAL_MS="150000"):  # so that no diff is trimmed
            streams = len(exchange.dialect.symbols) * (3 if name == "kraken" else 4) + (name == "kraken")
            await until(lambda: sum(map(len, exchange.carried())) == streams, "all subscriptions")
            await exchange.go_on(sum(1 for _ in exchange.dialect.messages))
            await until(lambda: all(map(right, truth)), "every book as recorded")

    asyncio.run(test())
    assert [record.getMessage() for record in caplog.records if "refused" in record.getMessage()] == []
