"""A market whose updates have no numbers, ingests that follow it without an exchange, and a reader of what they write."""

from __future__ import annotations

from collections.abc import Callable

import redis

from ingest.book_sync import BookSync
from ingest.events import BookSnapshot, Depth, Diff, Trade
from ingest.leased_writer import LeasedWriter
from ingest.venue import Snapshots
from ingest.writer import Writer
from tests.ingest.writing import KEYS, NOW
from tickfence.analytics.book import BookGap, OrderBook
from tickfence.coordination.clock import ServerClock
from tickfence.redis_access.command import Request
from tickfence.streams.read import ColdStart, Entries, StreamReader

SYMBOL = "toy:BTC/USD"
PRICES = 7
EVERY_MS = 100


class Market:
    """Its update number n sets one of the bids to n, so a book of which one update is missing is no book it ever had.

    Between two updates are `EVERY_MS`, by the exchange's clock.
    """

    def __init__(self) -> None:
        self.updates = 0

    @staticmethod
    def book(updates: int) -> dict[float, float]:
        """Price and quantity of each bid after so many updates."""
        return {100.0 + number % PRICES: float(number) for number in range(max(updates - PRICES + 1, 1), updates + 1)}

    @staticmethod
    def snapshot(updates: int) -> BookSnapshot:
        bids = list(Market.book(updates).items())
        return BookSnapshot(SYMBOL, NOW + EVERY_MS * updates, Depth(0, bids, [(200.0, 1.0)]))

    @staticmethod
    def diff(number: int) -> Diff:
        return Diff(SYMBOL, NOW + EVERY_MS * number, 0, 0, [(100.0 + number % PRICES, float(number))], [])


class Ingest:
    """What one ingest process holds of the symbol. It has heard the market up to an update, and loses nothing.

    Args:
        url: of Redis.
        market: which it follows from now on.
        monotonic: its clock.
        trade_ids: whether the exchange gives trades their ids.
    """

    def __init__(
        self,
        url: str,
        market: Market,
        *,
        monotonic: Callable[[], float],
        trade_ids: bool = True,
        interval_ms: int = 60_000,
    ) -> None:
        self.heard = market.updates
        self.books = {SYMBOL: BookSync(SYMBOL, Snapshots.STREAM)}
        self.writer = Writer(
            url,
            self.books,
            keys=KEYS,
            clock=ServerClock(),
            buffer_entries=10_000,
            snapshot_interval_ms=interval_ms,
            needs_lease=lambda _: True,
            monotonic=monotonic,
        )
        self._market, self._trade_ids = market, trade_ids
        self._entries = LeasedWriter(self.writer)
        self.sync()

    @property
    def writes(self) -> bool:
        return self.writer.leases.held > 0

    def sync(self) -> None:
        """Get a snapshot of the market as it is."""
        self.heard = self._market.updates
        self.books[SYMBOL].on_snapshot(Market.snapshot(self.heard), NOW)
        self.writer.want_snapshot(SYMBOL, "sync")
        self._entries.announce(self.books[SYMBOL])

    def trade(self, trade_id: int, time: int) -> None:
        self._entries.add_trade(Trade(SYMBOL, NOW + time, trade_id, "10.5", "1", True), NOW)

    def start_book_again(self) -> None:
        """As if the venue's part had failed: its numbers begin again."""
        self.books[SYMBOL] = BookSync(SYMBOL, Snapshots.STREAM)
        self.sync()

    def lose_book(self) -> None:
        self.books[SYMBOL].lose("doubt")

    def hear(self, updates: int = 10**9) -> None:
        """Take the next updates of the market, each with a trade."""
        book = self.books[SYMBOL]
        for number in range(self.heard + 1, min(self.heard + updates, self._market.updates) + 1):
            self.heard = number
            trade_id = number if self._trade_ids else 0
            self._entries.add_trade(Trade(SYMBOL, NOW + EVERY_MS * number, trade_id, "10.5", str(number), True), NOW)
            diff = book.number(Market.diff(number))
            if book.on_diff(diff, NOW):
                self._entries.add_diff(diff, NOW)


class Reader:
    """Reads as a node does: what is new, and everything again after a gap in the ids.

    Attributes:
        updates: how many of the market's updates its book has; ``None`` while it has no book.
        cold_starts: how often it began with a snapshot.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._reader = StreamReader(KEYS, SYMBOL)
        self._book = OrderBook()
        self.updates: int | None = None
        self.cold_starts = 0

    def read(self) -> int | None:
        """Read what is new; return how many updates the book has, ``None`` if it is not known."""
        if not self._book.in_sync:
            self._run(*self._reader.cold(0, self._start))
        self._run(self._reader.entries(self._add))
        self.updates = self._count() if self._book.in_sync else None
        return self.updates

    def _run(self, *requests: Request) -> None:
        for command, take in requests:
            take(self._client.execute_command(*command))

    def _start(self, found: ColdStart) -> None:
        if found.snapshot is None:
            return
        snapshot = found.snapshot
        self._book.load(snapshot.last_update_id, snapshot.bids, snapshot.asks)
        self.cold_starts += 1
        self._reader.start_from(found)
        self._add(Entries(diffs=found.diffs))

    def _add(self, entries: Entries) -> None:
        try:
            for diff in entries.diffs:
                if self._book.in_sync:
                    self._book.apply(diff.first_update_id, diff.last_update_id, diff.bids, diff.asks)
        except BookGap:
            pass  # the next read starts from the snapshot

    def _count(self) -> int:
        bids, _ = self._book.levels()
        updates = int(max((quantity for _, quantity in bids), default=0))
        assert dict(bids) == Market.book(updates), "the market never had this book"
        return updates
