"""One symbol's market data on this node: its analytics state, and how it is kept up to date. No I/O."""

from __future__ import annotations

import math
from collections import deque
from contextlib import suppress
from functools import partial

from tasks.symbol_events import BesideTheReport, Event, Kind, Note
from tickfence.analytics import basis, carry
from tickfence.analytics.book import BookGap, BookNotInSync
from tickfence.analytics.extensions import without_extensions
from tickfence.analytics.symbol_state import SymbolState, Ticker24h
from tickfence.analytics.trade_window import KEEP_MS, MAX_TRADES
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.redis_access.command import Request, checked
from tickfence.streams.codec import DiffEntry, Snapshot, SymbolInfo, Ticker, TradeEntry, TradesUpTo, split_id
from tickfence.streams.read import ColdStart, Entries, StreamReader

SAME_UPDATE_MS = 2_000
"""Two ingest processes receive the same update within this time."""

RELOAD_EVERY_S = 1.0
"""Least time between two reads of the snapshot of a book that is near its horizon."""

TICKER_EVERY_S = INFO_EVERY_S = 2.0
"""How often the statistics of 24 hours and the exchange's rules are read again."""

_STARTS_KEPT = 20

_Taken = tuple[bytes | None, bytes | None]
_NOTHING: _Taken = (None, None)


class WarmSymbol:
    """State of one symbol, and the commands that bring it up to date.

    Args:
        symbol: whose state.
        keys: of the deployment.
        note: is called with what happens.
        reader: of the streams; for a replay another one.

    Attributes:
        state: book, windows and the sections of the last slow cycle.
        cold: whether the book cannot be trusted, so that the next read starts from the snapshot.
        carry_key: what the last owner could not leave in the streams.
        slow_key: the sections of the last slow cycle.
        starts: what it has started from since this was emptied, each with the inputs that it then had; ``None`` for one of
            which that could not be told.
    """

    def __init__(self, symbol: Instrument, keys: Keys, note: Note, reader: StreamReader | None = None) -> None:
        self.symbol = symbol
        self.state = _new_state(symbol)
        self.cold = True
        self.slow_key, self.carry_key = keys.slow(symbol), keys.carry(symbol)
        self._cold_reason = "first"
        self._note = note
        self._reader = reader or StreamReader(keys, symbol)
        self.starts: deque[tuple[basis.Start, basis.Inputs] | None] = deque(maxlen=_STARTS_KEPT)
        self._started_ms = self._fresh_ms = 0
        self._trades = self._diffs = 0  # read since the last start
        self._oldest: TradeEntry | None = None
        self._loaded_at = -math.inf
        self._ticker_at = self._info_at = -math.inf
        self._info: SymbolInfo | None = None
        self._older_before: str | None = None
        self._older_until_ms = 0

    def read(self, now_ms: int, now_s: float, *, rules: bool = False) -> list[Request]:
        """What must be read to be up to date. The functions change the state as they take the replies.

        After a gap in the update ids the symbol is cold: :attr:`SymbolState.publishable` is false until a later read
        has found a snapshot that the stream connects to.

        Args:
            now_ms: the Redis server's time.
            now_s: monotonic seconds.
            rules: read the exchange's rules in any case.
        """
        if self.state.book.near_horizon and now_s - self._loaded_at >= RELOAD_EVERY_S:
            self.invalidate("horizon")  # ingest has refreshed its own book, or is about to
        if self.cold:
            return self._cold_read(now_ms, now_s)
        requests = []
        if self._older_before is not None:
            requests.append(self._reader.older_trades(self._older_before, 0, self._add_older))
        requests.append(self._reader.entries(self._add_entries))
        if rules or now_s - self._info_at >= INFO_EVERY_S:
            requests.append(self._reader.info(partial(self._set_info, now_s)))
        if now_s - self._ticker_at >= TICKER_EVERY_S:
            requests.append(self._reader.ticker(partial(self._set_ticker, now_s)))
        return requests

    def invalidate(self, reason: str) -> None:
        """Distrust the book; the next read starts from the snapshot. Trades and windows stay.

        Args:
            reason: label of ``nt_cold_starts``.
        """
        self.cold, self._cold_reason = True, reason

    def inputs(self) -> basis.Inputs:
        """What a computation of now is made from."""
        reader, state, oldest = self._reader, self.state, self._oldest
        return basis.Inputs(
            reader.trades_id,
            reader.book_id,
            self._trades,
            self._diffs,
            self._started_ms,
            self._fresh_ms,
            None if oldest is None else _id(oldest),
            self._older_before,
            state.ticker,
            state.tick_size,
            state.trading,
            None if state.slow is None else state.slow.computed_at,
            state.book.bids.horizon,
            state.book.asks.horizon,
            state.book_update_ms,
            state.trade_update_ms,
            state.base,
            state.quote,
        )

    def _cold_read(self, now_ms: int, now_s: float) -> list[Request]:
        # The trades up to the cursor are here already. At the start, all that the stream keeps are read.
        since_ms = split_id(self._reader.trades_id)[0] if self.state.book.last_update_id else 0
        left: list[bytes | None] = []  # sections and carry of the last owner

        def take_left(reply: bytes | None) -> None:
            left.append(checked(reply))

        def start(found: ColdStart) -> None:
            self._start(now_ms, now_s, found, *left)
            self._loaded_at = now_s
            if not self.cold and found.ticker is not None:
                self._set_ticker(now_s, found.ticker)

        return [
            (("GET", self.slow_key), take_left),
            (("GET", self.carry_key), take_left),
            *self._reader.cold(since_ms, start),
        ]

    def _start(
        self, now_ms: int, now_s: float, found: ColdStart, sections: bytes | None, carried: bytes | None
    ) -> None:
        snapshot, trades = found.snapshot, found.trades
        if snapshot is None:
            return
        newest = max(snapshot.last_update_id, found.diffs[-1].last_update_id if found.diffs else 0)
        if _replaced(found.info, snapshot.last_update_id, newest):
            return  # the corrected one is not there yet
        state, taken = self.state, _NOTHING
        before = basis.Before(
            state.book.last_update_id,
            state.observed_update_id,
            state.book.in_sync,
            state.changes.from_update_id,
            self._reader.trades_id,
            self._trades,
        )
        if before.update_id:
            if found.older_trades_before is not None:
                self._forget()  # the trades in between do not fit in a reply: start as a new owner does
                return
            known = split_id(self._reader.trades_id)
            trades = [trade for trade in trades if (trade.time_ms, trade.trade_id) > known]
        else:
            self._older_before = found.older_trades_before
            self._older_until_ms = trades[-1].time_ms - KEEP_MS if trades else 0
            self._fresh_ms, self._oldest = now_ms, None
            taken = self._take_over(sections, carried, newest)
        self._started_ms = now_ms
        self._trades, self._diffs = len(found.trades), len(found.diffs)
        self._note(Event(Kind.COLD_START, self.symbol, self._cold_reason))
        self._check_book(found.info, newest)
        self._set_info(now_s, found.info)
        self._reader.start_from(found)
        self._load(snapshot, found.diffs)
        self.cold = False
        reason = self._cold_reason
        self._apply(found.diffs)
        self._add_trades(trades)
        started = None
        with BesideTheReport(self._note, self.symbol, Kind.NO_BASIS):
            start = basis.Start(
                reason,
                not before.update_id,
                before,
                snapshot.last_update_id,
                snapshot.time,
                _id(found.trades[0]) if found.trades else None,
                f"{found.diffs[0].time_ms}-{found.diffs[0].last_update_id}" if found.diffs else None,
                *taken,
                None if found.info is None else found.info.book_from,
            )
            started = start, self.inputs()
        self.starts.append(started)

    def _load(self, snapshot: Snapshot, diffs: list[DiffEntry]) -> None:
        if self.state.book.in_sync:  # bring it up to the snapshot first, so that no level change is missed
            with suppress(BookGap):
                self._apply_each(diffs)
        levels = snapshot.bids, snapshot.asks
        horizon = snapshot.lowest_bid, snapshot.highest_ask
        self.state.load_snapshot(snapshot.last_update_id, *levels, snapshot.time, *horizon, snapshot.told)

    def _take_over(self, sections: bytes | None, carried: bytes | None, newest_update_id: int) -> _Taken:
        """Start with what the last owner left, as if this node had run all along.

        Returns:
            The digests of the carry and of the sections that were taken over; None for what was not.
        """
        of_carry = of_sections = None
        try:
            if carried is not None:
                carry.restore(self.state, carried)
                if self.state.observed_update_id > newest_update_id:  # from before the exchange started its ids again
                    self.state = _new_state(self.symbol)
                else:
                    of_carry = basis.digest(carried)
            if sections is not None:
                self.state.restore_slow(sections)
                of_sections = basis.digest(without_extensions(sections))
        except ValueError as error:  # left by another version: the windows fill from now on
            self._note(Event(Kind.NOT_TAKEN_OVER, self.symbol, str(error)))
        return of_carry, of_sections

    def _forget(self) -> None:
        self.state = _new_state(self.symbol, self.state.tick_size)
        self._reader.start_from(ColdStart())
        self._older_before = None

    def _add_entries(self, entries: Entries) -> None:
        self._trades += len(entries.trades)
        self._diffs += len(entries.diffs)
        renumbered = self._renumbered(entries.diffs)
        self._apply(entries.diffs)  # before the trades: TradeCoverage
        self._add_trades(entries.trades)
        if renumbered:
            self._note(Event(Kind.RENUMBERED, self.symbol))
            self._forget()
            self.invalidate("renumbered")
        elif entries.more:
            self.invalidate("behind")  # from the snapshot it is not far to the present

    def _renumbered(self, diffs: list[DiffEntry]) -> bool:
        """Whether an update id below the newest came well after that."""
        newest_id, newest_ms = self.state.book.last_update_id, self.state.book_update_ms
        for diff in diffs:
            if diff.last_update_id > newest_id:
                newest_id, newest_ms = diff.last_update_id, diff.received_ms
            elif newest_ms is not None and diff.received_ms > newest_ms + SAME_UPDATE_MS:
                return True
        return False

    def _apply(self, diffs: list[DiffEntry]) -> None:
        try:
            self._apply_each(diffs)
        except (BookGap, BookNotInSync) as gap:
            self._note(Event(Kind.GAP, self.symbol, str(gap)))
            self.invalidate("gap")

    def _apply_each(self, diffs: list[DiffEntry]) -> None:
        for diff in diffs:
            self.state.apply_diff(
                diff.first_update_id,
                diff.last_update_id,
                diff.bids,
                diff.asks,
                diff.received_ms,
                diff.time_ms,
                trades_held=diff.trades is TradesUpTo.HELD,
                trades_broken=diff.trades is TradesUpTo.BROKEN,
            )

    def _add_trades(self, trades: list[TradeEntry], *, older: bool = False) -> None:
        if trades:
            if older or self._oldest is None:
                self._oldest = trades[0]
            times_ms, ids, prices, quantities, is_buy, received_ms, counts = zip(*trades, strict=True)
            self.state.add_trades(
                times_ms,
                prices,
                quantities,
                is_buy,
                None if older else received_ms[-1],
                () if older else ids,
                counts,
            )

    def _add_older(self, trades: list[TradeEntry], older_before: str | None) -> None:
        """Add trades that a cold read left out, a reply's worth with each read, until older ones would not count."""
        window = self.state.trades
        ids, times_ms, counts = [t.trade_id for t in trades], [t.time_ms for t in trades], [t.id_count for t in trades]
        connect = window.coverage.add_older_trades(ids, times_ms, counts)
        self._add_trades(trades, older=True)
        reached = not trades or trades[0].time_ms <= self._older_until_ms
        self._older_before = None if reached or not connect or len(window) >= MAX_TRADES else older_before

    def _set_info(self, asked_s: float, info: SymbolInfo | None) -> None:
        self._info_at = asked_s
        if info is None:  # ingest does not know it yet, or Redis has lost it
            return
        if self._check_book(info, self.state.book.last_update_id):
            self.invalidate("audit")
        if info.tick_size is None and (self._info is None or self._info.tick_size is not None):
            self._note(Event(Kind.NO_TICK_SIZE, self.symbol))
        self._info = info
        self.state.tick_size, self.state.trading = info.tick_size, info.status
        self.state.base, self.state.quote = info.base, info.quote

    def _check_book(self, info: SymbolInfo | None, newest_id: int) -> bool:
        """Distrust a book that was wrong, as ingest found out later; whether it was."""
        began = self.state.changes.from_update_id
        wrong = began > 0 and _replaced(info, began, newest_id)
        if wrong:
            self.state.distrust_book()
        return wrong

    def _set_ticker(self, asked_s: float, ticker: Ticker | None) -> None:
        self._ticker_at = asked_s
        if ticker is not None:
            self.state.ticker = Ticker24h(*ticker)


def _id(trade: TradeEntry) -> str:
    """Its id in the stream."""
    return f"{trade.time_ms}-{trade.trade_id}"


def _replaced(info: SymbolInfo | None, loaded_id: int, newest_id: int) -> bool:
    """Whether the book that was loaded at ``loaded_id`` was wrong, as ingest found out later.

    A mark above the newest update is from before the exchange started its update ids again.
    """
    return info is not None and loaded_id < info.book_from <= newest_id


def _new_state(symbol: Instrument, tick_size: float | None = None) -> SymbolState:
    """A state that knows of no trade yet, and knows that."""
    state = SymbolState(symbol, tick_size)
    state.trades.coverage.begin()
    return state
