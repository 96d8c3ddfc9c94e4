"""Icebergs: a level that keeps trading without getting smaller, since it is refilled from a hidden order.

Over the 30 seconds up to now: at least 5 trades at one price against one side, and from the first of them on a visible
quantity that stays within 10 % of what it was at that trade. Severity by trades: low from 5, medium from 10, high from
20 on.
"""

import numpy as np
from numpy.typing import NDArray

from analytics.book import OrderBook
from analytics.health import Severity
from analytics.level_changes import AFTER, BEFORE, KEY, TIME
from analytics.sections import Iceberg
from analytics.trade_window import TradeWindow

WINDOW_MS = 30_000
MIN_TRADES, MEDIUM_TRADES, HIGH_TRADES = 5, 10, 20
TOLERANCE = 0.1


def find_icebergs(changes: NDArray[np.float64], trades: TradeWindow, now_ms: int, book: OrderBook) -> list[Iceberg]:
    """Icebergs by rising price; changes as LevelChanges.between() gives them for (now - 30 s, now]."""
    first, last = trades.between(now_ms - WINDOW_MS, now_ms)
    signed = trades.signed_quantities(first, last)
    # A buy trades against an ask: the level's key is its signed price, as in LevelChanges.
    keys = trades.prices(first, last) * -np.sign(signed)
    distinct, counts = np.unique(keys, return_counts=True)
    found = []
    for key, count in zip(distinct.tolist(), counts.tolist(), strict=True):
        if count < MIN_TRADES:
            continue
        at_price = keys == key
        since = int(trades.times(first, last)[at_price][0])
        visible = _visible(changes, since, key, book)
        if visible[0] > 0 and all(abs(seen - visible[0]) <= TOLERANCE * visible[0] for seen in visible):
            traded = round(abs(float(signed[at_price].sum())), 8)
            found.append(Iceberg(_severity(count), "bid" if key > 0 else "ask", abs(key), count, traded, visible[0]))
    return sorted(found, key=lambda iceberg: iceberg.price)


def _visible(changes: NDArray[np.float64], since_ms: int, key: float, book: OrderBook) -> list[float]:
    """Quantities the level showed after since_ms, the one that stood there at that time first."""
    later = changes[:, (changes[KEY] == key) & (changes[TIME] > since_ms)]
    if not later.size:
        return [book.bids.quantity(key) if key > 0 else book.asks.quantity(-key)]
    return [float(later[BEFORE, 0]), *later[AFTER].tolist()]


def _severity(trades: int) -> Severity:
    if trades >= HIGH_TRADES:
        return "high"
    return "medium" if trades >= MEDIUM_TRADES else "low"
