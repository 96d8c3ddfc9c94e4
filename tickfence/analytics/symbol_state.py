"""What a node keeps warm of one symbol between reports."""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tickfence.analytics.book import OrderBook
from tickfence.analytics.level_changes import AFTER, BEFORE, KEY, TIME, LevelChanges
from tickfence.analytics.liquidity.volume_profile import RollingVolumeProfile
from tickfence.analytics.quantities_window import QuantitiesWindow
from tickfence.analytics.slow_cycle import SplicedSections, decode_slow_sections, splice
from tickfence.analytics.trade_window import TradeWindow
from tickfence.instrument import Instrument

Levels = Sequence[Sequence[float]]

BOOK_LAG_MS = 2000
"""A book whose newest update came this much before the newest trade, or less, follows the market. Binance sends the
changes of a book every 100 ms, and hardly a trade leaves it as it was."""

_FOLD_AT_LEVELS = 4096


class Ticker24h(NamedTuple):
    """The exchange's 24 h statistics: prices in quote currency, change in percent, volume in base currency."""

    last: float | None = None
    change_pct: float | None = None
    high: float | None = None
    low: float | None = None
    volume: float | None = None


class NotPublishable(Exception):
    """A report was asked for while the book has a gap, no snapshot, or sides that cross."""

    def __init__(self, symbol: Instrument, reason: str) -> None:
        super().__init__(f"no report of {symbol} can be made from its order book: {reason}; load a snapshot")


class SymbolState:
    """Everything about one symbol, fed with what is new and read by `report.build` and `slow_cycle.run`.

    Times are ms since the epoch. `received_ms` is when ingest received a message; trades and diffs also carry the
    exchange's own time, which the time windows go by. Not safe for use by several threads.

    Life on a node: `carry.restore` and `restore_slow` where there is something to restore, then `load_snapshot`, then
    `apply_diff` and `add_trades` with what is new, before every `report.build`; now and then a `slow_cycle.run`.

    Attributes:
        book: the order book.
        trades: the trades of the last 31 minutes.
        ticker: the newest 24 h statistics, None until there are some.
        book_update_ms: receive time of the newest diff that was applied, or of the snapshot; None before the first.
        trade_update_ms: receive time of the newest trade, None before the first.
        quantities: the last 10,000 level quantities: those above 0 that diffs have set, and before them those of the
            first snapshot. Up to date after fold().
        changes: the level changes of the last 30 s. Up to date after fold().
        observed_update_id: the last update id that `quantities` and `changes` include.
        slow: the slow sections found last, None until there are some.
        profile: the rolling volume profile, None without a tick size.
    """

    __slots__ = (
        "_log",
        "_pending",
        "_tick_size",
        "book",
        "book_update_ms",
        "changes",
        "observed_update_id",
        "profile",
        "quantities",
        "slow",
        "symbol",
        "ticker",
        "trade_update_ms",
        "trades",
    )

    def __init__(self, symbol: Instrument, tick_size: float | None = None) -> None:
        self.symbol = symbol
        self.book = OrderBook()
        self.trades = TradeWindow()
        self.ticker: Ticker24h | None = None
        self.book_update_ms: int | None = None
        self.trade_update_ms: int | None = None
        self.quantities = QuantitiesWindow()
        self.changes = LevelChanges()
        self.observed_update_id = 0
        self.slow: SplicedSections | None = None
        self.profile: RollingVolumeProfile | None = None
        self._tick_size: float | None = None
        self.tick_size = tick_size
        # What fold() has not taken in yet: time and number of levels of each diff, and what OrderBook.apply() logged.
        self._pending: list[tuple[int, int]] = []
        self._log = array("d")

    @property
    def tick_size(self) -> float | None:
        """The smallest price step, from the exchange's symbol information; None where it is not known."""
        return self._tick_size

    @tick_size.setter
    def tick_size(self, tick_size: float | None) -> None:
        if tick_size != self._tick_size:
            self.profile = None if tick_size is None else RollingVolumeProfile(tick_size)
            self._tick_size = tick_size

    @property
    def book_stopped(self) -> bool:
        """True when trades go on and the book does not: the book is out of date, though it shows no gap."""
        book_ms, trade_ms = self.book_update_ms, self.trade_update_ms
        return book_ms is not None and trade_ms is not None and trade_ms - book_ms > BOOK_LAG_MS

    @property
    def last_update_ms(self) -> int | None:
        """Receive time of the newest trade, diff or snapshot, None before the first; of the book if it has stopped.

        The ticker does not count: it says nothing about how fresh the book is.
        """
        if self.book_update_ms is None or self.trade_update_ms is None:
            return self.book_update_ms if self.trade_update_ms is None else self.trade_update_ms
        return self.book_update_ms if self.book_stopped else max(self.book_update_ms, self.trade_update_ms)

    @property
    def publishable(self) -> bool:
        """True when a report may be built: the book has no gap and its sides do not cross."""
        return self.book.in_sync and not self.book.crossed

    def require_publishable(self) -> None:
        """Raises NotPublishable unless `publishable`."""
        if not self.book.in_sync:
            raise NotPublishable(self.symbol, "it is not in sync")
        if self.book.crossed:
            raise NotPublishable(self.symbol, "its sides cross")

    def load_snapshot(self, last_update_id: int, bids: Levels, asks: Levels, taken_ms: int) -> None:
        """Replaces the book by a snapshot that was taken at taken_ms."""
        self.fold()
        if self.book.last_update_id:
            self.changes.clear()
        self.book.load(last_update_id, bids, asks)
        if not len(self.quantities):
            self.quantities.extend([quantity for _, quantity in (*bids, *asks) if quantity > 0])
            self.observed_update_id = last_update_id
        self._touch_book(taken_ms)

    def apply_diff(
        self,
        first_update_id: int,
        last_update_id: int,
        bids: Levels,
        asks: Levels,
        received_ms: int,
        event_ms: int | None = None,
    ) -> bool:
        """Applies one book diff; returns False for one the book already includes.

        A diff that is older than the snapshot may still be new to `quantities`, after carry.restore(): give all that
        are at hand.

        Args:
            event_ms: the exchange's time of the diff; the receive time where it is not given.

        Raises:
            BookGap, BookNotInSync: as OrderBook.apply; load_snapshot() is needed then.
        """
        log = array("d")
        applied = self.book.apply(first_update_id, last_update_id, bids, asks, log)
        if applied:
            self._touch_book(received_ms)
        if last_update_id > self.observed_update_id:
            self.observed_update_id = last_update_id
            if not applied:  # it changes nothing, and its quantities count
                log.extend(number for price, quantity in (*bids, *asks) for number in (price, quantity, quantity))
            self._pending.append((received_ms if event_ms is None else event_ms, len(log) // 3))
            self._log += log
            if len(self._log) >= 3 * _FOLD_AT_LEVELS:
                self.fold()
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
        if times_ms and (self.trade_update_ms is None or received_ms > self.trade_update_ms):
            self.trade_update_ms = received_ms

    def restore_slow(self, data: bytes) -> None:
        """Takes over slow sections that slow_cycle.run() returned elsewhere, unless those at hand are newer.

        Raises:
            ValueError: the data is not the JSON of slow sections.
        """
        sections = decode_slow_sections(data)
        if self.slow is None or sections.computed_at > self.slow.computed_at:
            self.slow = splice(sections)

    def fold(self) -> None:
        """Brings `quantities` and `changes` up to date with the diffs that were applied."""
        if not self._pending:
            return
        times, sizes = zip(*self._pending, strict=True)
        log = np.array(self._log).reshape(-1, 3)
        changes = np.empty((4, len(log)))
        changes[TIME] = np.array(times).repeat(sizes)
        changes[KEY : AFTER + 1] = log.T
        self._pending.clear()
        del self._log[:]
        after = changes[AFTER]
        self.quantities.extend(after[after > 0])
        self.changes.extend(changes.take(np.flatnonzero(changes[BEFORE] != after), axis=1))

    def _touch_book(self, received_ms: int) -> None:
        if self.book_update_ms is None or received_ms > self.book_update_ms:
            self.book_update_ms = received_ms
