"""Recorded data as an exchange."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tools.simulator.recorded_data import SNAPSHOT_MS, START, Truth, record
from tickfence.recordings.recording import Recording
from tickfence.recordings.store import Store
from tickfence.streams.codec import DiffEntry
from tools.simulator.capture import BadCapture
from tools.simulator.hub import Hub
from tools.simulator.protocol import frame
from tools.simulator.recorded import RecordedFeed
from tools.simulator.recorded_market import RecordedMarket

SYMBOLS = ["BTCUSDT", "ETHUSDT"]
SECONDS = 65
Json = dict[str, Any]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Truth]]:
    url = str(tmp_path_factory.mktemp("recording"))
    return url, record(url, SYMBOLS, SECONDS)


class Client:
    """Follows streams, and asks for each book once its first diff is there."""

    combined = False
    unread_bytes = 0

    def __init__(self, hub: Hub, *names: str) -> None:
        self.pending: list[bytes] = []
        self.events: list[Json] = []
        self.times: list[float] = []
        hub.connections.append(self)
        hub.subscribe(self, names)

    def flush(self) -> None:
        for framed in self.pending:
            payload = framed[framed.index(b"{") :]
            assert framed == frame(payload)
            self.events.append(json.loads(payload))
            self.times.append(time.monotonic())
        self.pending.clear()

    def of(self, kind: str, symbol: str) -> list[Json]:
        return [event for event in self.events if event["e"] == kind and event["s"] == symbol]


async def replay(
    url: str, *range_ms: int | None, speed: float = math.inf, ask_first: bool = False, **options: bool
) -> tuple[Client, RecordedFeed, dict[str, Json]]:
    """All that a client gets, and the book that it gets of each symbol."""
    hub = Hub()
    start, end = range_ms or (None, None)
    market = RecordedMarket(Recording(url), start, end)
    feed = RecordedFeed(market, speed, hub, exit_at_end=True, **options)
    names = [f"{symbol.lower()}@{name}" for symbol in feed.symbols for name in ("trade", "depth@100ms", "ticker")]
    client = Client(hub, *names)
    books: dict[str, Json] = {}
    running = asyncio.create_task(feed.run())
    while not running.done():
        for symbol in feed.symbols:
            if symbol not in books and (ask_first or client.of("depthUpdate", symbol)):
                books[symbol] = json.loads(await feed.depth(symbol, 1000))
        await asyncio.sleep(0.001)
    await running
    return client, feed, books


def levels(texts: list[list[str]]) -> list[tuple[float, float]]:
    return [(float(price), float(quantity)) for price, quantity in texts]


def test_every_recorded_trade_and_diff_is_sent_in_order(recorded: tuple[str, dict[str, Truth]]) -> None:
    url, truth = recorded
    client, feed, books = asyncio.run(replay(url, keep_times=True))
    for symbol in SYMBOLS:
        assert [(e["T"], e["t"], float(e["p"]), float(e["q"]), not e["m"]) for e in client.of("trade", symbol)] == [
            entry[:5] for entry in truth[symbol].trades
        ]
        assert [(e["E"], e["U"], e["u"], levels(e["b"]), levels(e["a"])) for e in client.of("depthUpdate", symbol)] == [
            entry[:5] for entry in truth[symbol].diffs
        ]
        first = client.of("depthUpdate", symbol)[0]
        assert first["U"] <= books[symbol]["lastUpdateId"] + 1 <= first["u"], "no diff is lost to a client"
        assert feed.exchange_info([symbol])[0]["filters"][0] == {"filterType": "PRICE_FILTER", "tickSize": "0.01"}
        assert client.of("24hrTicker", symbol) == [
            {
                "e": "24hrTicker",
                "E": START + 500,
                "s": symbol,
                "c": "1.5",
                "P": "-0.5",
                "h": "2.0",
                "l": "1.0",
                "v": "0.0000001",
            }
        ]
        assert feed.ticker_24hr(symbol)["lastPrice"] == "1.5"
        ids = [entry.trade_id for entry in truth[symbol].trades]
        assert [each["id"] for each in feed.trades(symbol, ids[-5], 3)] == ids[-5:-2]
        assert [each["id"] for each in feed.trades(symbol, None, 2)] == ids[-2:]
    times = [event["E"] for event in client.events]
    assert times == sorted(times)
    assert feed.state()["status"] == "finished"


def test_from_the_middle_the_book_is_the_one_of_then(recorded: tuple[str, dict[str, Truth]]) -> None:
    url, truth = recorded
    start, end = START + 3 * SNAPSHOT_MS + 2_345, START + 4 * SNAPSHOT_MS
    client, feed, books = asyncio.run(replay(url, start, end))
    for symbol in SYMBOLS:
        sent = [entry for entry in truth[symbol].diffs if start <= entry.time_ms < end]
        assert [event["u"] for event in client.of("depthUpdate", symbol)] == [entry.last_update_id for entry in sent]
        assert [event["t"] for event in client.of("trade", symbol)] == [
            entry.trade_id for entry in truth[symbol].trades if start <= entry.time_ms < end
        ]
        first = books[symbol]
        before = [entry for entry in truth[symbol].diffs if entry.time_ms < start][-1]
        assert first["lastUpdateId"] == before.last_update_id
        for shown in (first, json.loads(asyncio.run(feed.depth(symbol, 1000)))):
            bids, asks = truth[symbol].books[shown["lastUpdateId"]]
            assert levels(shown["bids"]) == sorted(bids.items(), reverse=True)
            assert levels(shown["asks"]) == sorted(asks.items())
        assert len(json.loads(asyncio.run(feed.depth(symbol, 5)))["bids"]) == 5
    now_ms = time.time() * 1000
    assert all(now_ms - 60_000 < event["E"] <= now_ms for event in client.events), "times are those of sending"


def test_a_client_that_asks_before_the_first_diff_is_not_waited_for(
    recorded: tuple[str, dict[str, Truth]], caplog: pytest.LogCaptureFixture
) -> None:
    url, truth = recorded
    with caplog.at_level(logging.INFO):
        _, _, books = asyncio.run(replay(url, START, START + 2_000, ask_first=True))
    assert [record.message for record in caplog.records] == [f"replay finished: {_count(truth)} events"]
    assert all(books[symbol]["lastUpdateId"] == truth[symbol].snapshots[0].last_update_id for symbol in SYMBOLS)


def _count(truth: dict[str, Truth]) -> int:
    """Events of the first two seconds: trades, diffs, and a ticker and an info of each symbol."""
    rows = (entry for each in truth.values() for entry in (*each.trades, *each.diffs))
    return sum(entry.time_ms < START + 2_000 for entry in rows) + 2 * len(truth)


def test_speed(recorded: tuple[str, dict[str, Truth]]) -> None:
    url, _ = recorded
    client, _, _ = asyncio.run(replay(url, START, START + 10_000, speed=20, keep_times=True))
    sent_in_s = client.times[-1] - client.times[0]
    assert 0.9 * 10 / 20 < sent_in_s < 5 * 10 / 20


def test_a_hole_in_the_recording_ends_with_the_next_snapshot(tmp_path: Path) -> None:
    url = str(tmp_path)
    truth = record(url, ["BTCUSDT"], 15)["BTCUSDT"]
    market = RecordedMarket(Recording(url), None, None)
    book = market.book("BTCUSDT")
    assert book.last_update_id == truth.snapshots[0].last_update_id
    hole = [entry for entry in truth.diffs if not START + 2_000 <= entry.time_ms < START + 3_000]
    for diff in hole:
        if book.misses(diff):
            assert diff.time_ms >= START + 3_000
            book.load(market.snapshot("BTCUSDT", diff.time_ms, diff.last_update_id), diff.time_ms)
            assert book.last_update_id == truth.snapshots[1].last_update_id
        book.apply(diff)
        bids, asks = truth.books[book.last_update_id]
        assert (book.bids, book.asks) == (bids, asks)


def test_without_a_snapshot_the_book_is_not_known_and_it_is_not_looked_for_with_each_diff(tmp_path: Path) -> None:
    record(str(tmp_path), ["BTCUSDT"], 2)
    market = RecordedMarket(Recording(str(tmp_path)), None, None)
    book = market.book("BTCUSDT")
    late = DiffEntry(START + 1_000, 10**9, 10**9, [(1.0, 1.0)], [], START)
    assert book.misses(late)
    book.load(market.snapshot("BTCUSDT", late.time_ms, late.last_update_id), late.time_ms)
    book.apply(late)
    assert book.last_update_id == 0
    assert not book.misses(late._replace(time_ms=START + 2_000)) and book.misses(late._replace(time_ms=START + 900_000))


def test_nothing_to_replay(tmp_path: Path) -> None:
    with pytest.raises(BadCapture, match="neither a capture nor a recording"):
        RecordedMarket(Recording(str(tmp_path)), None, None)
    Store(str(tmp_path))
    record(str(tmp_path), ["BTCUSDT"], 2)
    with pytest.raises(BadCapture, match=r"nothing was recorded in this range; there is data from 2025-11-26T09:59:00"):
        RecordedMarket(Recording(str(tmp_path)), START + 3_600_000, None)
