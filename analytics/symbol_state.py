"""What a node keeps warm of one symbol between reports."""

from collections.abc import Sequence
from typing import NamedTuple

from analytics.book import Levels, OrderBook
from analytics.trade_window import TradeWindow


class Ticker24h(NamedTuple):
    """The exchange's 24 h statistics: prices in quote currency, change in percent, volume in base currency."""

    last: float | None = None
    change_pct: float | None = None
    high: float | None = None
    low: float | None = None
    volume: float | None = None


class SymbolState:
    """Book, trades and ticker of one symbol, fed with what is new and read by `report.build`.

    Times are ms since the epoch. `received_ms` is when ingest received a message; trades and diffs also carry the
    exchange's own time. Not safe for use by several threads.

    Attributes:
        book: the order book.
        trades: the trades of the last 31 minutes.
        ticker: the newest 24 h statistics, None until there are some.
        last_update_ms: receive time of the newest trade, diff or snapshot, None before the first. The ticker does not
            count: it says nothing about how fresh the book is.
    """

    __slots__ = ("book", "last_update_ms", "symbol", "ticker", "trades")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.book = OrderBook()
        self.trades = TradeWindow()
        self.ticker: Ticker24h | None = None
        self.last_update_ms: int | None = None

    def load_snapshot(self, last_update_id: int, bids: Levels, asks: Levels, taken_ms: int) -> None:
        """Replaces the book by a snapshot that was taken at taken_ms."""
        self.book.load(last_update_id, bids, asks)
        self._touch(taken_ms)

    def apply_diff(
        self, first_update_id: int, last_update_id: int, bids: Levels, asks: Levels, received_ms: int
    ) -> bool:
        """Applies one book diff; returns False for one the book already includes.

        Raises:
            BookGap, BookNotInSync: as OrderBook.apply; load_snapshot() is needed then.
        """
        applied = self.book.apply(first_update_id, last_update_id, bids, asks)
        if applied:
            self._touch(received_ms)
        return applied

    def add_trades(
        self,
        times_ms: Sequence[int],
        prices: Sequence[float],
        quantities: Sequence[float],
        is_buy: Sequence[bool],
        received_ms: int,
    ) -> None:
        """Adds trades, as TradeWindow.extend; received_ms is that of the newest one."""
        self.trades.extend(times_ms, prices, quantities, is_buy)
        if times_ms:
            self._touch(received_ms)

    @property
    def publishable(self) -> bool:
        """True when a report may be built: the book has no gap and its sides do not cross."""
        return self.book.in_sync and not self.book.crossed

    def _touch(self, received_ms: int) -> None:
        if self.last_update_ms is None or received_ms > self.last_update_ms:
            self.last_update_ms = received_ms
