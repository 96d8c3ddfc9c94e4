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
from tickfence.analytics.limits import reached
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
    shown, falls = _visible(changes, levels, trades.times(first, last)[first_trades])
    found = []
    likely = (reached(traded - falls, REFILLED * traded) & (shown != 0)).nonzero()[0]
    columns = [column[likely].tolist() for column in (levels, counts, traded, shown, falls)]
    for key, trades_there, quantity, visible, fall in zip(*columns, strict=True):
        if visible == _UNCHANGED:
            visible = book.bids.quantity(key) if key > 0 else book.asks.quantity(-key)  # noqa: PLW2901
        if visible > 0:
            found.append(_iceberg(key, trades_there, quantity, visible, fall))
    return sorted(found, key=lambda iceberg: iceberg.price)


_UNCHANGED = -1.0


def _visible(
    changes: NDArray[np.float64], keys: NDArray[np.float64], since_ms: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each level showed at its time `since_ms`, and its largest fall from a quantity to a later one since then.

    A level without a change since then showed _UNCHANGED, and has no fall. One that only rose fell by less than 0.
    """
    shown, falls = np.full(len(keys), _UNCHANGED), np.zeros(len(keys))
    # All levels at once: most are no icebergs, and one pass over the changes for each would cost the most.
    hits = np.flatnonzero(changes[KEY] == keys[:, np.newaxis])
    level, place = np.divmod(hits, max(1, changes.shape[1]))
    time, _, before, after = changes.take(place, axis=1)
    # A diff contains the trades up to its own time.
    later = (time >= since_ms[level]).nonzero()[0]
    if not len(later):
        return shown, falls
    level, before, after = level[later], before[later], after[later]
    is_first = np.ones(len(level), dtype=bool)
    np.not_equal(level[1:], level[:-1], out=is_first[1:])
    starts = is_first.nonzero()[0]
    shown[level[starts]] = before[starts]
    # The highest quantity so far, for each level from its own start on: ranks instead of quantities, because the ranks of
    # the next level can be lifted above all of these without a loss of digits.
    count = len(level)
    by_rank = before.argsort(kind="stable")
    rank = np.empty(count, dtype=np.int64)
    rank[by_rank] = np.arange(count)
    lift = level * count
    peaks = before[by_rank[np.maximum.accumulate(rank + lift) - lift]]
    falls[level[starts]] = np.maximum.reduceat(peaks - after, starts)
    return shown, falls.round(QUANTITY_DECIMALS)


def _iceberg(key: float, trades: int, traded: float, visible: float, decline: float) -> Iceberg:
    side: Side = "bid" if key > 0 else "ask"
    price, refilled = abs(key), round(traded - max(0.0, decline), QUANTITY_DECIMALS)
    traded = round(traded, QUANTITY_DECIMALS)
    took = f"{trades} trades took {readable(traded)} from the {side} at {readable(price)}"
    note = f"{took}, and {readable(refilled)} of it was refilled by an order that does not show."
    severity = severity_of(trades, MEDIUM_TRADES, HIGH_TRADES)
    return Iceberg(severity, note, side, price, trades, traded, visible, refilled)
