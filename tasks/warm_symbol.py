"""One symbol on this node: its analytics state, and how far the streams were read into it."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from typing import Any

from tickfence.analytics import carry
from tickfence.analytics.book import BookGap, BookNotInSync
from tickfence.analytics.symbol_state import SymbolState, Ticker24h
from tickfence.analytics.trade_window import MAX_TRADES
from tickfence.coordination.keys import carry_key, slow_key
from tickfence.instrument import Instrument
from tickfence.monitoring import node_metrics as metrics
from tickfence.streams.codec import INFO_FIELDS, DiffEntry, SymbolInfo, Ticker, TradeEntry, decode_info
from tickfence.streams.keys import info_key
from tickfence.streams.read import (
    ColdStart,
    Cursor,
    parse_cold_read,
    parse_older_trades,
    parse_read,
    queue_cold_read,
    queue_older_trades,
    queue_read,
)

logger = logging.getLogger(__name__)

TRADES_MS = 31 * 60_000
_SAME_UPDATE_MS = 2_000
_TICKER_S = 1.0


@dataclass(slots=True)
class WarmSymbol:
    """State and cursor of one symbol.

    Attributes:
        cold: whether the next read must start from the snapshot.
        token: fencing token of the lease held last.
        seq: number of the last accepted write.
        carried_at: monotonic seconds of the last accepted write of what a new owner starts with.
        computed_ms: server ms as of which the last report or sections were computed.
        granted_at: monotonic seconds when the lease was last known to be held: a grant, or an accepted write. Where there
            are no leases, of the last read.
        renewed: generation in which the last write was accepted, and renewed the lease; 0 from the next read on.
    """

    symbol: Instrument
    state: SymbolState = field(init=False)
    cursor: Cursor = field(default_factory=Cursor)
    cold: bool = True
    cold_reason: str = "first"
    token: int = 0
    seq: int = 0
    computed_ms: int = 0
    granted_at: float = 0.0
    renewed: int = 0
    carried_at: float = -math.inf
    _ticker_at: float = -math.inf
    _ticker_asked: bool = False
    _since_ms: int = 0
    _older_before: str | None = None
    _older_since_ms: int = 0

    def __post_init__(self) -> None:
        self.state = SymbolState(self.symbol)

    def queue_read(self, pipe: Any, now_ms: int) -> int:
        """Queue what must be read to be up to date; return the number of commands."""
        if self.cold:
            self._since_ms = now_ms - TRADES_MS
            if self.state.book.last_update_id:  # the trades up to the cursor are here already
                self._since_ms = max(self._since_ms, _position(self.cursor.trades_id)[0])
            pipe.execute_command("GET", slow_key(self.symbol))
            pipe.execute_command("GET", carry_key(self.symbol))
            return 2 + queue_cold_read(pipe, self.symbol, trades_since_ms=self._since_ms)
        self._ticker_asked = time.monotonic() - self._ticker_at >= _TICKER_S
        count = queue_read(pipe, self.symbol, self.cursor, with_ticker=self._ticker_asked)
        if self.state.tick_size is None:  # ingest had not learnt it yet when this symbol was started
            pipe.execute_command("HMGET", info_key(self.symbol), *INFO_FIELDS)
            count += 1
        if self._older_before is not None:
            since_ms = self._older_since_ms
            count += queue_older_trades(pipe, self.symbol, before=self._older_before, trades_since_ms=since_ms)
        return count

    def take(self, replies: list[Any]) -> None:
        """Take in the replies to :meth:`queue_read`.

        After a gap in the update ids the symbol is cold: :attr:`SymbolState.publishable` is false until a later
        cold read has found a snapshot that the stream connects to.
        """
        if self.cold:
            sections, carried, *read = replies
            self._start(parse_cold_read(read, trades_since_ms=self._since_ms), sections, carried)
            return
        if self._older_before is not None:
            *replies, older = replies
            self._add_older([older])
        if self.state.tick_size is None:
            *replies, info = replies
            self._learn(decode_info(info))
        entries = parse_read(replies)
        self.cursor.advance(entries)
        if self._ticker_asked:
            self._ticker_at = time.monotonic()
        counted_anew = self._counts_anew(entries.diffs)
        self._apply(entries.trades, entries.diffs, entries.ticker)
        if counted_anew:
            logger.warning("the exchange counts its updates anew", extra={"symbol": self.symbol})
            self._forget()
            self.chill("renumbered")
        elif entries.more:
            self.chill("behind")  # from the snapshot it is not far to the present

    def chill(self, reason: str) -> None:
        """Distrust the book; the next read starts from the snapshot. Trades and windows stay."""
        self.cold, self.cold_reason = True, reason

    def _start(self, start: ColdStart, sections: bytes | None, carried: bytes | None) -> None:
        if start.snapshot is None:
            return
        if start.older_trades_before is not None and self.state.book.last_update_id:
            self._forget()  # so far behind that the trades in between do not fit in a reply: start as a new owner does
            return
        trades = start.trades
        if self.state.book.last_update_id:
            known = _position(self.cursor.trades_id)
            trades = [trade for trade in trades if (trade.time_ms, trade.trade_id) > known]
        else:
            self._older_before, self._older_since_ms = start.older_trades_before, self._since_ms
            newest = max(start.snapshot.last_update_id, start.diffs[-1].last_update_id if start.diffs else 0)
            self._take_over(sections, carried, newest)
        metrics.cold_starts.labels(self.cold_reason).inc()
        self._learn(start.info)
        self.cursor = start.cursor
        snapshot = start.snapshot
        self.state.load_snapshot(snapshot.last_update_id, snapshot.bids, snapshot.asks, snapshot.time)
        self.cold = False
        self._apply(trades, start.diffs, start.ticker)
        self._mark_incomplete()

    def _add_older(self, replies: list[Any]) -> None:
        """Take in trades that a cold read left out, a reply's worth with each read."""
        trades, self._older_before = parse_older_trades(replies)
        self._add_trades(trades)
        if len(self.state.trades) >= MAX_TRADES:
            self._older_before = None  # older ones would not be kept; the window itself knows since when it is complete
        else:
            self.state.trades.complete_after_ms = 0
            self._mark_incomplete()

    def _mark_incomplete(self) -> None:
        if self._older_before is not None:
            self.state.trades.complete_after_ms = _position(self._older_before)[0]

    def _forget(self) -> None:
        self.state = SymbolState(self.symbol, self.state.tick_size)
        self.cursor = Cursor()
        self._older_before = None

    def _take_over(self, sections: bytes | None, carried: bytes | None, newest_update_id: int) -> None:
        """Start with what the last owner left, as if this node had run all along."""
        try:
            if carried is not None:
                carry.restore(self.state, carried)
                if self.state.observed_update_id > newest_update_id:  # from before the exchange counted anew
                    self.state = SymbolState(self.symbol)
            if sections is not None:
                self.state.restore_slow(sections)
        except ValueError as error:  # left by another version: the windows fill anew
            logger.warning("cannot take over: %s", error, extra={"symbol": self.symbol})

    def _learn(self, info: SymbolInfo | None) -> None:
        if info is not None and self.state.tick_size is None:
            self.state.tick_size = info.tick_size

    def _counts_anew(self, diffs: list[DiffEntry]) -> bool:
        """Whether an update id below the book's came well after the book's.

        A little after is nothing: two ingest processes receive the same update at slightly different times.
        """
        book, known_ms = self.state.book, self.state.book_update_ms
        return any(
            diff.last_update_id <= book.last_update_id and diff.received_ms > known_ms + _SAME_UPDATE_MS
            for diff in diffs[:1]
            if known_ms is not None
        )

    def _apply(self, trades: list[TradeEntry], diffs: list[DiffEntry], ticker: Ticker | None) -> None:
        if ticker is not None:
            self.state.ticker = Ticker24h(ticker.last, ticker.change_pct, ticker.high, ticker.low, ticker.volume)
        self._add_trades(trades)
        try:
            for diff in diffs:
                self.state.apply_diff(
                    diff.first_update_id, diff.last_update_id, diff.bids, diff.asks, diff.received_ms, diff.time_ms
                )
        except (BookGap, BookNotInSync) as gap:
            logger.warning("book must be loaded again: %s", gap, extra={"symbol": self.symbol})
            self.chill("gap")

    def _add_trades(self, trades: list[TradeEntry]) -> None:
        if trades:
            self.state.add_trades(
                [t.time_ms for t in trades],
                [t.price for t in trades],
                [t.quantity for t in trades],
                [t.is_buy for t in trades],
                max(t.received_ms for t in trades),
            )


def _position(stream_id: str) -> tuple[int, int]:
    milliseconds, number = stream_id.split("-")
    return int(milliseconds), int(number)
