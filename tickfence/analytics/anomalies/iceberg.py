"""Icebergs: a level that keeps trading without getting smaller, because a hidden order refills it.

A level is an iceberg when, in the last 30 seconds, it has at least 5 trades against its side, and its visible quantity
stays within 10 % of what it was at the first of them. Severity by number of trades: low from 5, medium from 10, high
from 20.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickfence.analytics.anomalies import Anomaly
from tickfence.analytics.book import OrderBook
from tickfence.analytics.fields import QUANTITY_DECIMALS, Count, Price, Quantity, Side, readable, severity_of
from tickfence.analytics.level_changes import KEY, frequent
from tickfence.analytics.market import CHANGES_MS, SlowMarket
from tickfence.analytics.trade_window import TradeWindow

MIN_TRADES, MEDIUM_TRADES, HIGH_TRADES = 5, 10, 20
TOLERANCE = 0.1


class Iceberg(Anomaly, frozen=True, tag="iceberg"):
    """A level that keeps trading without getting smaller."""

    order = 2
    side: Side
    price: Price
    trades: Count
    traded_qty: Quantity
    visible_qty: Quantity

    @classmethod
    def find(cls, market: SlowMarket) -> list[Iceberg]:
        """Icebergs by rising price."""
        return find_icebergs(market.changes, market.trades, market.now_ms, market.state.book)

    @property
    def note(self) -> str:
        """Like "5 trades took 1.4 from the bid at 100, which still shows 1."."""
        taken, left = readable(self.traded_qty), readable(self.visible_qty)
        return f"{self.trades} trades took {taken} from the {self.side} at {readable(self.price)}, which still shows {left}."


def find_icebergs(changes: NDArray[np.float64], trades: TradeWindow, now_ms: int, book: OrderBook) -> list[Iceberg]:
    """Icebergs by rising price; changes as LevelChanges.between() gives them for (now - 30 s, now]."""
    first, last = trades.between(now_ms - CHANGES_MS, now_ms)
    signed = trades.signed_quantities(first, last)
    # A buy trades against an ask: the level's key is its signed price, as in LevelChanges.
    keys = np.copysign(trades.prices(first, last), -signed)
    candidates = frequent(keys, MIN_TRADES)
    if not len(candidates):
        return []
    since = trades.times(first, last)[np.argmax(keys == candidates[:, np.newaxis], axis=1)]
    found = []
    for key, shown in zip(candidates.tolist(), _shown(changes, candidates, since), strict=True):
        visible = _standing(book, key) if shown is None else shown
        if visible > 0:
            fills = signed[keys == key]
            traded = round(abs(float(fills.sum())), QUANTITY_DECIMALS)
            side: Side = "bid" if key > 0 else "ask"
            severity = severity_of(len(fills), MEDIUM_TRADES, HIGH_TRADES)
            found.append(Iceberg(severity, side, abs(key), len(fills), traded, visible))
    return sorted(found, key=lambda iceberg: iceberg.price)


def _shown(changes: NDArray[np.float64], keys: NDArray[np.float64], since_ms: NDArray[np.int64]) -> list[float | None]:
    """What each level showed at its time `since_ms`; 0 if it did not stay near that, None if it did not change."""
    # All levels at once: most candidates are no icebergs, and one pass over the changes for each would cost the most.
    hits = np.flatnonzero(changes[KEY] == keys[:, np.newaxis])
    level, place = np.divmod(hits, max(1, changes.shape[1]))
    time, _, before, after = changes.take(place, axis=1)
    later = time > since_ms[level]
    level, before, after = level[later], before[later], after[later]
    shown = np.zeros(len(keys))
    # Of several values for one place the last one stays: backwards, that is the first change.
    shown[level[::-1]] = before[::-1]
    reference = shown[level]
    shown[level[np.abs(after - reference) > TOLERANCE * reference]] = 0.0
    changed = set(level.tolist())
    return [quantity if number in changed else None for number, quantity in enumerate(shown.tolist())]


def _standing(book: OrderBook, key: float) -> float:
    return book.bids.quantity(key) if key > 0 else book.asks.quantity(-key)
