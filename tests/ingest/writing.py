"""A writer and the books it writes, without an exchange, and what a reader makes of what it wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import redis

from ingest.book_sync import BookSync
from ingest.events import Depth, Diff, Trade
from ingest.writer import Writer
from tickfence.analytics.book import OrderBook
from tickfence.coordination.clock import ServerClock
from tickfence.keys import Keys
from tickfence.monitoring import ingest_metrics
from tickfence.streams.read import ColdStart, StreamReader

SYMBOL, OTHER = "BTCUSDT", "ETHUSDT"
KEYS = Keys()
NOW = 1_700_000_000_000


class Process:
    """What one ingest process holds: the books and a writer."""

    def __init__(
        self,
        url: str,
        buffer_entries: int = 10_000,
        interval_ms: int = 60_000,
        symbols: Sequence[str] = (SYMBOL, OTHER),
        keys: Keys = KEYS,
        fetch_trades: Callable[[str, int, int], bool] = lambda *_: False,
    ) -> None:
        self.books = {symbol: BookSync(symbol) for symbol in symbols}
        for book in self.books.values():
            book.on_depth(Depth(0, [(10.0, 1.0)], [(20.0, 1.0)]), NOW)
        self.writer = Writer(
            url,
            self.books,
            keys=keys,
            clock=ServerClock(),
            buffer_entries=buffer_entries,
            snapshot_interval_ms=interval_ms,
            fetch_trades=fetch_trades,
        )
        for symbol in self.books:
            self.writer.want_snapshot(symbol, "sync")

    def diff(self, update_id: int, *, symbol: str = SYMBOL, time_ms: int | None = None) -> None:
        """Take in the market's diff of this id; each diff sets a bid that tells which one it was."""
        time_ms = NOW + update_id if time_ms is None else time_ms
        diff = Diff(symbol, time_ms, update_id, update_id, [(10.0, float(update_id))], [])
        assert self.books[symbol].on_diff(diff, NOW)
        self.writer.add_diff(diff, NOW)

    def trade(self, trade_id: int, *, time_ms: int | None = None) -> None:
        time_ms = NOW + trade_id if time_ms is None else time_ms
        self.writer.add_trade(Trade(SYMBOL, time_ms, trade_id, "10.5", "1", True), NOW)

    def fetched(self, trade_ids: Sequence[int]) -> None:
        """Take in the exchange's answer to a question for trades of the past."""
        found = [Trade(SYMBOL, NOW + number, number, "10.5", "1", True) for number in trade_ids]
        self.writer.add_fetched(SYMBOL, found, NOW)


@asynccontextmanager
async def running(*processes: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(process.writer.run()) for process in processes]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 10.0) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not condition():
        assert loop.time() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.005)


async def until_one_holds_back(client: redis.Redis) -> None:
    """Wait until a writer asks again and again how far a trades stream is: it holds trades back for it.

    While it connects it asks for each of its streams once.
    """

    def questions() -> int:
        return int(client.info("commandstats").get("cmdstat_xrevrange", {}).get("calls", 0))

    enough = questions() + 10
    await until(lambda: questions() >= enough, "a writer to hold trades back")


def counted(name: str, **labels: str) -> float:
    """A metric of ingest as Prometheus would read it; of Binance, if it has venues."""
    read = ingest_metrics.registry.get_sample_value
    return read(name, labels) or read(name, labels | {"venue": "binance"}) or 0.0


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def ids(client: redis.Redis, key: str) -> list[int]:
    return [int(entry_id.split(b"-")[1]) for entry_id, _ in client.xrange(key)]


def diffs(client: redis.Redis, symbol: str = SYMBOL) -> list[int]:
    return ids(client, KEYS.book(symbol))


def trades(client: redis.Redis) -> list[int]:
    return ids(client, KEYS.trades(SYMBOL))


def reader_book(client: redis.Redis, symbol: str = SYMBOL) -> OrderBook:
    """The book that a reader who knows nothing makes of what is in Redis."""
    found: list[ColdStart] = []
    for command, take in StreamReader(Keys(), symbol).cold(0, found.append):
        take(client.execute_command(*command))
    [start] = found
    assert start.snapshot is not None
    book = OrderBook()
    snapshot = start.snapshot
    book.load(
        snapshot.last_update_id, snapshot.bids, snapshot.asks, snapshot.lowest_bid, snapshot.highest_ask, snapshot.told
    )
    for diff in start.diffs:
        book.apply(diff.first_update_id, diff.last_update_id, diff.bids, diff.asks)
    return book


def assert_reader_agrees(client: redis.Redis, process: Process, symbol: str = SYMBOL) -> None:
    book, true = reader_book(client, symbol), process.books[symbol].book
    assert (book.last_update_id, book.levels()) == (true.last_update_id, true.levels())
