"""One symbol on this node: its analytics state, and how far the streams were read into it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from analytics.book import BookGap, BookNotInSync
from analytics.symbol_state import SymbolState, Ticker24h
from monitoring import node_metrics as metrics
from streams.codec import DiffEntry, Ticker, TradeEntry
from streams.read import ColdStart, Cursor, parse_cold_read, parse_read, queue_cold_read, queue_read

logger = logging.getLogger(__name__)

TRADES_MS = 31 * 60_000


@dataclass(slots=True)
class WarmSymbol:
    """State and cursor of one symbol.

    Attributes:
        cold: whether the next read must start from the snapshot.
        token: fencing token of the lease held last.
        seq: number of the last accepted write.
        granted_at: monotonic seconds of the last grant.
    """

    symbol: str
    state: SymbolState = field(init=False)
    cursor: Cursor = field(default_factory=Cursor)
    cold: bool = True
    cold_reason: str = "first"
    token: int = 0
    seq: int = 0
    granted_at: float = 0.0
    _since_ms: int = 0

    def __post_init__(self) -> None:
        self.state = SymbolState(self.symbol)

    def queue_read(self, pipe: Any, now_ms: int) -> int:
        """Queue what must be read to be up to date; return the number of commands."""
        if self.cold:
            self._since_ms = now_ms - TRADES_MS
            return queue_cold_read(pipe, self.symbol, trades_since_ms=self._since_ms)
        return queue_read(pipe, self.symbol, self.cursor)

    def take(self, replies: list[Any]) -> None:
        """Take in the replies to :meth:`queue_read`.

        After a gap in the update ids the symbol is cold: :attr:`SymbolState.publishable` is false until a later
        cold read has found a snapshot that the stream connects to.
        """
        if self.cold:
            self._start(parse_cold_read(replies, trades_since_ms=self._since_ms))
            return
        entries = parse_read(replies)
        self.cursor.advance(entries)
        self._apply(entries.trades, entries.diffs, entries.ticker)
        if entries.more:
            self.chill("behind")  # from the snapshot it is not far to the present

    def chill(self, reason: str) -> None:
        """Forget what was read; the next read starts from the snapshot."""
        self.cold, self.cold_reason = True, reason

    def _start(self, start: ColdStart) -> None:
        self.state = SymbolState(self.symbol)
        self.cursor = start.cursor
        if start.snapshot is None:
            return
        metrics.cold_starts.labels(self.cold_reason).inc()
        snapshot = start.snapshot
        self.state.load_snapshot(snapshot.last_update_id, snapshot.bids, snapshot.asks, snapshot.time)
        self.cold = False
        self._apply(start.trades, start.diffs, start.ticker)

    def _apply(self, trades: list[TradeEntry], diffs: list[DiffEntry], ticker: Ticker | None) -> None:
        if ticker is not None:
            self.state.ticker = Ticker24h(ticker.last, ticker.change_pct, ticker.high, ticker.low, ticker.volume)
        if trades:
            self.state.add_trades(
                [t.time_ms for t in trades],
                [t.price for t in trades],
                [t.quantity for t in trades],
                [t.is_buy for t in trades],
                max(t.received_ms for t in trades),
            )
        try:
            for diff in diffs:
                self.state.apply_diff(diff.first_update_id, diff.last_update_id, diff.bids, diff.asks, diff.received_ms)
        except (BookGap, BookNotInSync) as gap:
            logger.warning("book must be loaded again: %s", gap, extra={"symbol": self.symbol})
            self.chill("gap")
