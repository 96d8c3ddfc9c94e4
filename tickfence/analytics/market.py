"""One symbol's market at one moment: what the calculators read, and the numbers that several of them need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfence.analytics.book_side import MAX_LEVELS

if TYPE_CHECKING:  # the state holds what the calculators found, so its module imports them
    from tickfence.analytics.symbol_state import SymbolState

DEPTH_LEVELS = 20
"""Levels of each side that count as depth."""

CHANGES_MS = 30_000
"""The window of level changes that spoofing and icebergs are judged by."""


class Market:
    """A symbol's state as of `now_ms`.

    Attributes:
        state: the warm state, with everything that is new already applied.
        now_ms: ms since the epoch, on the clock of the receive times.
        market_ms: up to when the exchange is known, on its clock: windows of trades and level changes end there.
        trades: the state's trades.
        bid_prices, bid_quantities, ask_prices, ask_quantities: the 20 best levels of each side, best first.
        two_sided: True when neither side of the book is empty.
        spread_bps: spread in basis points, unrounded; None unless the book is two-sided.
        bid_total, ask_total: quantities of the 20 best levels, in base currency.
        imbalance: depth imbalance of those levels, unrounded; None when a side holds nothing.

    Raises:
        NotPublishable: the book has a gap, no snapshot, sides that cross, or a side that knows too few levels.
    """

    def __init__(self, state: SymbolState, now_ms: int) -> None:
        state.require_publishable()
        self.state = state
        self.now_ms = now_ms
        self.market_ms = state.market_ms(now_ms)
        self.trades = state.trades
        self.bid_prices, self.bid_quantities = state.book.bids.top(DEPTH_LEVELS)
        self.ask_prices, self.ask_quantities = state.book.asks.top(DEPTH_LEVELS)
        self.two_sided = bool(self.bid_prices and self.ask_prices)
        self.spread_bps = spread_bps(self.bid_prices[0], self.ask_prices[0]) if self.two_sided else None
        self.bid_total, self.ask_total = sum(self.bid_quantities), sum(self.ask_quantities)
        self.imbalance = imbalance(self.bid_total, self.ask_total)


class SlowMarket(Market):
    """What the calculators of the slow cycle read as well.

    Attributes:
        p10, p95: percentiles of the last 10,000 level quantities, in base currency; None with fewer than 20.
        bids, asks: all levels that are known, at most 1,000 a side.
        judged_after_ms: where the window of spoofing and icebergs begins: 30 s before `market_ms`, or later, where
            trades or level changes are missing.
        judged_until_ms: the exchange's time of the newest diff: what later trades do to the book is not known yet.
        changes: the level changes of (judged_after_ms, market_ms], as LevelChanges.between() gives them.
    """

    def __init__(self, state: SymbolState, now_ms: int) -> None:
        super().__init__(state, now_ms)
        state.fold()
        self.p10, self.p95 = state.quantities.percentile(10), state.quantities.percentile(95)
        self.bids, self.asks = state.book.bids.columns(MAX_LEVELS), state.book.asks.columns(MAX_LEVELS)
        self.judged_after_ms = max(
            self.market_ms - CHANGES_MS, state.trades.complete_after_ms, state.changes.complete_after_ms
        )
        self.judged_until_ms = 0 if state.book_event_ms is None else state.book_event_ms
        self.changes = state.changes.between(self.judged_after_ms, self.market_ms)


def mid_price(bid: float, ask: float) -> float:
    """(bid + ask) / 2, in quote currency, unrounded."""
    return (bid + ask) / 2


def spread_bps(bid: float, ask: float) -> float:
    """(ask - bid) / mid x 10^4: the spread in basis points of the mid price, unrounded."""
    return (ask - bid) / mid_price(bid, ask) * 1e4


def micro_price(bid: float, bid_quantity: float, ask: float, ask_quantity: float) -> float:
    """The mid price weighted by the opposite quantities: (bid x ask_qty + ask x bid_qty) / (bid_qty + ask_qty).

    It leans to the ask when more is bid. In quote currency, unrounded, always within [bid, ask].
    Source: Gatheral and Oomen, "Zero-intelligence realized variance estimation" (2010).
    """
    # The same number as in the formula, written so that no product of price and quantity can overflow or vanish.
    return min(ask, bid + (ask - bid) * (bid_quantity / (bid_quantity + ask_quantity)))


def imbalance(bid_total: float, ask_total: float) -> float | None:
    """(bid - ask) / (bid + ask): from -1 (only asks) to 1 (only bids). None when a side is empty."""
    if not (bid_total > 0 and ask_total > 0):
        return None
    return (bid_total - ask_total) / (bid_total + ask_total)
