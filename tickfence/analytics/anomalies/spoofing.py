"""Spoofing: a large level far from the market that keeps being pulled before it can trade.

What counts are the last 30 seconds of each level that is more than 3 spreads from the mid price:

- A *pull* is a fall by more than 10 % from a quantity of at least P95, less than half of which was traded at that
  price since the level's change before it (or since the window's start, if that was later).
- The level's *changes* are all changes of its quantity except those that rise to P95 or more, because they place a
  large order and neither pull nor trade it.
- At least 3 pulls that are at least 70 % of the changes are spoofing: low from 70 %, medium from 80 %, high from 90 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickfence.analytics.anomalies import Anomaly
from tickfence.analytics.fields import Count, Price, Side, readable, severity_of
from tickfence.analytics.level_changes import AFTER, BEFORE, KEY, TIME, frequent
from tickfence.analytics.limits import below, exceeds, reached
from tickfence.analytics.market import SlowMarket, mid_price
from tickfence.analytics.trade_window import TradeWindow

MIN_PULLS = 3
FALL = 0.1
SPREADS_FROM_MID = 3


class Spoofing(Anomaly, frozen=True, tag="spoofing"):
    """A large level far from the market that keeps being pulled before it trades."""

    order = 1
    side: Side
    price: Price
    pulls: Count
    changes: Count

    @classmethod
    def find(cls, market: SlowMarket) -> list[Spoofing]:
        """Spoofed levels by rising price; none without P95 or with an empty side."""
        if market.p95 is None or not market.two_sided:
            return []
        bid, ask = market.bid_prices[0], market.ask_prices[0]
        return find_spoofing(market.changes, market.trades, market.judged_after_ms, market.p95, bid, ask)


def find_spoofing(
    changes: NDArray[np.float64], trades: TradeWindow, after_ms: int, p95: float, bid: float, ask: float
) -> list[Spoofing]:
    """Spoofed levels by rising price.

    Args:
        changes: the level changes after `after_ms`, as LevelChanges.between() gives them.
        trades: the trades of the same time at least.
        after_ms: from when on trades and changes are known.
        p95: 95th percentile of level quantities, in base currency.
        bid, ask: best prices now.
    """
    keys, before, after = changes[KEY], changes[BEFORE], changes[AFTER]
    # Few changes start from a large quantity. The others matter only for levels that may be spoofed.
    large = np.flatnonzero(reached(before, p95))
    fallen = keys[large[below(after[large], (1 - FALL) * before[large])]]
    prices = np.abs(fallen)
    distances = np.abs(prices - mid_price(bid, ask))
    far = fallen[exceeds(distances, SPREADS_FROM_MID * (ask - bid), of=np.maximum(prices, ask))]
    often = frequent(far, MIN_PULLS).tolist()
    if not often:
        return []
    counted = keys[(after <= before) | below(after, p95)]
    found = []
    for key in often:
        count = int(np.count_nonzero(counted == key))
        if np.count_nonzero(far == key) * 10 >= count * 7:
            level = changes.take(np.flatnonzero(keys == key), axis=1)
            pulls = _pulls(level, trades, after_ms, p95)
            if pulls >= MIN_PULLS and pulls * 10 >= count * 7:
                found.append(_spoofing(key, pulls, count))
    return sorted(found, key=lambda spoofing: spoofing.price)


def _spoofing(key: float, pulls: int, changes: int) -> Spoofing:
    side: Side = "bid" if key > 0 else "ask"
    note = f"A large {side} at {readable(abs(key))} was taken away before it traded, in {pulls} of its last {changes} changes."
    return Spoofing(severity_of(pulls * 10, changes * 8, changes * 9), note, side, abs(key), pulls, changes)


def _pulls(level: NDArray[np.float64], trades: TradeWindow, since: int, p95: float) -> int:
    """How many of one level's changes after `since` are pulls."""
    key = float(level[KEY, 0])
    first, last = trades.between(min(since, int(level[TIME].min())), int(level[TIME].max()))
    signed = trades.signed_quantities(first, last)
    # Bids are hit by sells, asks by buys.
    hits = np.flatnonzero((trades.prices(first, last) == abs(key)) & ((signed < 0) == (key > 0)))
    times, quantities = trades.times(first, last)[hits], signed[hits]
    pulls = 0
    for time, _, before, after in level.T.tolist():
        falls = reached(before, p95) and below(after, (1 - FALL) * before)
        if falls and below(_traded(times, quantities, since, time), (before - after) / 2):
            pulls += 1
        since = int(time)
    return pulls


def _traded(times: NDArray[np.int64], quantities: NDArray[np.float64], after_ms: float, until_ms: float) -> float:
    """Volume of a level's trades in (after, until]."""
    if not len(times):  # as nearly always so far from the market
        return 0.0
    first, last = times.searchsorted(after_ms, "right"), times.searchsorted(until_ms, "right")
    return abs(float(quantities[first:last].sum()))
