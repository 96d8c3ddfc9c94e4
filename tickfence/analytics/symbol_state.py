"""The warm state of one symbol, which a node keeps between reports."""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tickfence.analytics.book import OrderBook
from tickfence.analytics.fields import price_decimals
from tickfence.analytics.level_changes import AFTER, BEFORE, KEY, TIME, UNKNOWN, LevelChanges
from tickfence.analytics.liquidity.volume_profile import RollingVolumeProfile
from tickfence.analytics.market import DEPTH_LEVELS
from tickfence.analytics.quantities_window import QuantitiesWindow
from tickfence.analytics.slow_cycle import SplicedSections, decode_slow_sections, splice
from tickfence.analytics.trade_window import TradeWindow
from tickfence.instrument import Instrument

Levels = Sequence[Sequence[float]]

BOOK_LAG_MS = 2000
"""A book has stopped when its newest update is older than the newest trade by more than this. Binance sends the changes of
a book every 100 ms, and nearly every trade changes the book."""

AHEAD_MS = 250
"""A receive time that is further ahead of now than this tells no age: the clock that it is from was wrong, or is now."""

_FOLD_AT_LEVELS = 4096


class Ticker24h(NamedTuple):
    """The exchange's 24 h statistics: prices in quote currency, change in percent, volume in base currency.

    `received_ms` is when ingest received them.
    """

    last: float | None = None
    change_pct: float | None = None
    high: float | None = None
    low: float | None = None
    volume: float | None = None
    received_ms: int = 0


class NotPublishable(Exception):
    """No report can be built: the book has a gap, no snapshot, sides that cross, or knows too few levels."""

    def __init__(self, symbol: Instrument, reason: str) -> None:
        super().__init__(f"no report of {symbol} can be made from its order book: {reason}; load a snapshot")


class SymbolState:
    """The market data of one symbol. New data is added to it; `report.build` and `slow_cycle.run` read it.

    Times are ms since the epoch. `received_ms` is when ingest received a message. Trades and diffs also have the
    exchange's time, which the time windows use. Not thread-safe.

    A node first calls `carry.restore` and `restore_slow` if there is stored state, then `load_snapshot`. Before each
    `report.build` it calls `apply_diff` and `add_trades` with the new data, and every 2 s `slow_cycle.run`.

    Attributes:
        book: the order book.
        trades: the trades of the last 31 minutes.
        ticker: the newest 24 h statistics; None before the first.
        trading: whether the symbol is `trading`, `halted` or `delisted`; None if unknown.
        base, quote: what is traded, and what it is paid with; empty if unknown.
        book_update_ms: receive time of the newest applied diff or of the snapshot; None while it is not known.
        trade_update_ms: receive time of the newest trade; None while it is not known.
        book_event_ms: the exchange's time of the newest diff; None before the first.
        price_decimals: decimals of computed prices; None without a tick size.
        quantities: the last 10,000 level quantities: those above 0 set by diffs, preceded by those of the first
            snapshot. Up to date after fold().
        changes: the level changes of the last 30 s. Up to date after fold().
        observed_update_id: the last update id that `quantities` and `changes` include.
        slow: the newest slow sections; None before the first.
        profile: the rolling volume profile; None without a tick size.
    """

    def __init__(self, symbol: Instrument, tick_size: float | None = None) -> None:
        self.symbol = symbol
        self.book = OrderBook()
        self.trades = TradeWindow()
        self.ticker: Ticker24h | None = None
        self.trading: str | None = None
        self.base = self.quote = ""
        self.book_update_ms: int | None = None
        self.trade_update_ms: int | None = None
        self.book_event_ms: int | None = None
        self.price_decimals: int | None = None
        self.quantities = QuantitiesWindow()
        self.changes = LevelChanges()
        self.observed_update_id = 0
        self.slow: SplicedSections | None = None
        self.profile: RollingVolumeProfile | None = None
        self.tick_size = tick_size
        # Input of the next fold(): time and number of levels of each diff, and the log of OrderBook.apply().
        self._pending: list[tuple[int, int]] = []
        self._log = array("d")

    @property
    def tick_size(self) -> float | None:
        """The smallest price step, from the exchange's symbol information; None if unknown."""
        return None if self.profile is None else self.profile.tick_size

    @tick_size.setter
    def tick_size(self, tick_size: float | None) -> None:
        if tick_size != self.tick_size:
            self.profile = None if tick_size is None else RollingVolumeProfile(tick_size)
            self.price_decimals = None if tick_size is None else price_decimals(tick_size)

    def market_ms(self, now_ms: int) -> int:
        """The exchange's time of the newest diff or trade, ms: up to then what happened there is known here.

        Windows end there. What was traded later may still be on its way, and a clock of this machine that is wrong or
        steps shifts no window. Before the first of them it is `now_ms`.

        Args:
            now_ms: now, on the clock of the receive times.
        """
        book_ms, trade_ms = self.book_event_ms, self.trades.newest_ms
        if book_ms is None:
            return now_ms if trade_ms is None else trade_ms
        return book_ms if trade_ms is None or trade_ms < book_ms else trade_ms

    @property
    def book_stopped(self) -> bool:
        """True if trades arrive but the book does not change: it is out of date although it has no gap."""
        book_ms, trade_ms = self.book_update_ms, self.trade_update_ms
        return book_ms is not None and trade_ms is not None and trade_ms - book_ms > BOOK_LAG_MS

    @property
    def last_update_ms(self) -> int | None:
        """Receive time of the newest trade, diff or snapshot, or that of the book if it has stopped.

        None while that of the book is not known. The ticker does not count, because it does not show how fresh the book is.
        """
        if self.book_update_ms is None or self.trade_update_ms is None or self.book_stopped:
            return self.book_update_ms
        return max(self.book_update_ms, self.trade_update_ms)

    def forget_times_ahead(self, now_ms: int) -> None:
        """Forgets receive times that are more than AHEAD_MS ahead of `now_ms`, until there is newer data.

        A clock that was wrong has set them. If they were kept, they would show old data as new when that time comes.
        """
        if self.book_update_ms is not None and self.book_update_ms - now_ms > AHEAD_MS:
            self.book_update_ms = None
        if self.trade_update_ms is not None and self.trade_update_ms - now_ms > AHEAD_MS:
            self.trade_update_ms = None

    @property
    def publishable(self) -> bool:
        """True if a report can be built: the book has no gap, its sides do not cross, and it knows the levels shown."""
        return self.book.in_sync and not self.book.crossed and self.book.knows(DEPTH_LEVELS)

    def require_publishable(self) -> None:
        """Checks `publishable`.

        Raises:
            NotPublishable: no report can be built now.
        """
        if not self.book.in_sync:
            raise NotPublishable(self.symbol, "it is not in sync")
        if self.book.crossed:
            raise NotPublishable(self.symbol, "its sides cross")
        if not self.book.knows(DEPTH_LEVELS):
            raise NotPublishable(self.symbol, f"it does not know the best {DEPTH_LEVELS} levels of each side")

    def load_snapshot(
        self,
        last_update_id: int,
        bids: Levels,
        asks: Levels,
        taken_ms: int,
        lowest_bid: float | None = None,
        highest_ask: float | None = None,
        told: int | None = None,
    ) -> None:
        """Replaces the book by a snapshot that was taken at `taken_ms`; the other arguments are those of OrderBook.load().

        If the book was in order and has every update of the snapshot, its level changes remain: none was missed.
        """
        self.fold()
        book = self.book
        continuous = book.in_sync and not book.crossed and last_update_id <= book.last_update_id
        if book.last_update_id and not continuous:
            self.changes.clear()
        self.changes.from_update_id = self.changes.from_update_id or last_update_id
        book.load(last_update_id, bids, asks, lowest_bid, highest_ask, told)
        if not len(self.quantities):
            known = (*book.bids.known(bids), *book.asks.known(asks))
            self.quantities.extend([quantity for _, quantity in known if quantity > 0])
            self.observed_update_id = last_update_id
        self.book_update_ms = taken_ms

    def distrust_book(self) -> None:
        """Takes the book as wrong from its first snapshot on, and with it what it gave: level changes and slow sections."""
        self.fold()
        self.book.in_sync = False
        self.changes.clear()
        self.slow = None

    def apply_diff(
        self,
        first_update_id: int,
        last_update_id: int,
        bids: Levels,
        asks: Levels,
        received_ms: int,
        event_ms: int | None = None,
        *,
        trades_held: bool = False,
        trades_broken: bool = False,
    ) -> bool:
        """Applies one book diff.

        Pass every diff that you have: after carry.restore(), a diff that is older than the snapshot may be new to
        `quantities`.

        Args:
            first_update_id, last_update_id: the diff's `U` and `u`.
            bids, asks: (price, quantity) pairs; quantity 0 removes the level.
            received_ms: when ingest received it.
            event_ms: the exchange's time of the diff; by default the receive time.
            trades_held, trades_broken: as TradeCoverage.add_diff().

        Returns:
            False if the book already includes the diff.

        Raises:
            BookGap, BookNotInSync: as OrderBook.apply(); call load_snapshot() next.
        """
        if event_ms is None:
            event_ms = received_ms
        self.trades.coverage.add_diff(first_update_id, last_update_id, event_ms, trades_held, trades_broken)
        log = array("d")
        applied = self.book.apply(first_update_id, last_update_id, bids, asks, log)
        if applied or self.book_event_ms is None:
            self.book_event_ms = event_ms
        if applied:
            self.book_update_ms = received_ms
        if last_update_id > self.observed_update_id:
            changes = self.changes
            if not applied:  # what it changed is not known any more, but its quantities count
                levels = (*self.book.bids.known(bids), *self.book.asks.known(asks))
                log.extend(number for price, quantity in levels for number in (price, quantity, quantity))
                changes.complete_after_ms = event_ms
            elif first_update_id > self.observed_update_id + 1 or changes.complete_after_ms == UNKNOWN:
                changes.complete_after_ms = event_ms - 1
            self.observed_update_id = last_update_id
            self._pending.append((event_ms, len(log) // 3))
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
        received_ms: int | None,
        ids: Sequence[int] = (),
        counts: Sequence[int] | None = None,
    ) -> None:
        """Adds trades, as TradeWindow.extend().

        Args:
            times_ms, prices, quantities, is_buy: as TradeWindow.extend().
            received_ms: the receive time of the newest trade; None if later ones are here already.
            ids: the exchange's numbers of trades that follow on the last ones, for TradeWindow.coverage.
            counts: how many numbers up to its own each of them stands for; None: each for its own alone.
        """
        if ids:
            self.trades.coverage.add_trades(ids, times_ms, counts)
        self.trades.extend(times_ms, prices, quantities, is_buy)
        if times_ms and received_ms is not None:
            self.trade_update_ms = received_ms

    def restore_slow(self, data: bytes) -> None:
        """Adopts slow sections that slow_cycle.run() returned on another node, unless its own are newer.

        Raises:
            ValueError: the data is not the JSON of slow sections.
        """
        sections = decode_slow_sections(data)
        if self.slow is None or sections.computed_at > self.slow.computed_at:
            self.slow = splice(sections)

    def fold(self) -> None:
        """Updates `quantities` and `changes` with the applied diffs."""
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
