"""Icebergs: a level that trades more than it visibly loses, because a hidden order refills it.

A level is an iceberg when, in the last 30 seconds, it has at least 5 trades against its side, and at least 90 % of what
they took was refilled: traded minus the visible decline. Severity by number of trades: low from 5, medium from 10, high
from 20.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickfence.analytics.anomalies import Anomaly
from tickfence.analytics.book import OrderBook
from tickfence.analytics.fields import QUANTITY_DECIMALS, Count, Price, Quantity, Side, readable, severity_of
from tickfence.analytics.level_changes import KEY
from tickfence.analytics.limits import below, reached
from tickfence.analytics.market import SlowMarket
from tickfence.analytics.trade_window import TradeWindow

MIN_TRADES, MEDIUM_TRADES, HIGH_TRADES = 5, 10, 20
REFILLED = 0.9


class Iceberg(Anomaly, frozen=True, tag="iceberg"):
    """A level that trades more than it visibly loses."""

    order = 2
    side: Side
    price: Price
    trades: Count
    traded_qty: Quantity
    visible_qty: Quantity
    refilled_qty: Quantity

    @classmethod
    def find(cls, market: SlowMarket) -> list[Iceberg]:
        """Icebergs by rising price."""
        after_ms, until_ms = market.judged_after_ms, market.judged_until_ms
        return find_icebergs(market.changes, market.trades, after_ms, until_ms, market.state.book)


def find_icebergs(
    changes: NDArray[np.float64], trades: TradeWindow, after_ms: int, until_ms: int, book: OrderBook
) -> list[Iceberg]:
    """Icebergs by rising price.

    Args:
        changes: the level changes after `after_ms`, as LevelChanges.between() gives them.
        trades: the trades; those of (after_ms, until_ms] are judged.
        after_ms: from when on trades and changes are known.
        until_ms: time of the newest change of the book: what later trades do to it is not known yet.
        book: as it is now.
    """
    first, last = trades.between(after_ms, until_ms)
    signed = trades.signed_quantities(first, last)
    # A buy trades against an ask: the level's key is its signed price, as in LevelChanges.
    keys = np.copysign(trades.prices(first, last), -signed)
    order = keys.argsort(kind="stable")
    in_order = keys[order]
    is_bound: NDArray[np.bool_] = np.ones(len(keys) + 1, dtype=bool)
    np.not_equal(in_order[1:], in_order[:-1], out=is_bound[1:-1])
    bounds = is_bound.nonzero()[0]
    counts = bounds[1:] - bounds[:-1]
    often = (counts >= MIN_TRADES).nonzero()[0]
    if not len(often):
        return []
    counts = counts[often]
    traded = np.add.reduceat(np.abs(signed[order]), bounds[:-1])[often]
    first_trades = order[bounds[often]]
    levels = keys[first_trades]
    level, before, after = _changes_of(changes, levels, trades.times(first, last)[first_trades])
    # One change that took too much ends most levels, so that few are looked at one by one.
    drained = np.zeros(len(levels), dtype=bool)
    drained[level[below(traded[level] - (before - after), REFILLED * traded[level])]] = True
    begins = level.searchsorted(np.arange(len(levels) + 1)).tolist()
    found = []
    for number in (~drained).nonzero()[0].tolist():
        key, quantity = levels.item(number), traded.item(number)
        begin, end = begins[number : number + 2]
        if begin < end:
            visible = before.item(begin)
            fall = max(0.0, (np.maximum.accumulate(before[begin:end]) - after[begin:end]).max().item())
        else:
            visible, fall = book.bids.quantity(key) if key > 0 else book.asks.quantity(-key), 0.0
        if visible > 0 and reached(quantity - fall, REFILLED * quantity):
            found.append(_iceberg(key, counts.item(number), quantity, visible, fall))
    return sorted(found, key=lambda iceberg: iceberg.price)


def _changes_of(
    changes: NDArray[np.float64], keys: NDArray[np.float64], since_ms: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The changes of each level from its time `since_ms` on, level by level: its place in `keys`, before, after."""
    # All levels at once: most are no icebergs, and one pass over the changes for each would cost the most.
    hits = np.flatnonzero(changes[KEY] == keys[:, np.newaxis])
    level, place = np.divmod(hits, max(1, changes.shape[1]))
    time, _, before, after = changes.take(place, axis=1)
    # A diff contains the trades up to its own time.
    later = (time >= since_ms[level]).nonzero()[0]
    return level[later], before[later], after[later]


def _iceberg(key: float, trades: int, traded: float, visible: float, decline: float) -> Iceberg:
    side: Side = "bid" if key > 0 else "ask"
    price, refilled = abs(key), round(traded - decline, QUANTITY_DECIMALS)
    traded = round(traded, QUANTITY_DECIMALS)
    took = f"{trades} trades took {readable(traded)} from the {side} at {readable(price)}"
    note = f"{took}, and {readable(refilled)} of it was refilled by an order that does not show."
    severity = severity_of(trades, MEDIUM_TRADES, HIGH_TRADES)
    return Iceberg(severity, note, side, price, trades, traded, visible, refilled)
