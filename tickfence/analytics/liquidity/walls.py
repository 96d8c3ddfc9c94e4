"""Walls: levels that hold far more than levels usually do."""

from __future__ import annotations

import numpy as np
from msgspec import UNSET, UnsetType

from tickfence.analytics.book_side import MAX_LEVELS, Columns
from tickfence.analytics.fields import Finding, Price, Quantity, Severity, Side, readable, severity_of
from tickfence.analytics.limits import reached
from tickfence.analytics.market import SlowMarket

ORDER = 1
FACTOR = 1.5
"""A wall holds at least this many times the 95th percentile of level quantities."""

MAX_LISTED = 50
"""Walls of each side that are listed, from the best price on."""


class Wall(Finding, frozen=True):
    """A level that holds far more than levels usually do."""

    side: Side
    price: Price
    qty: Quantity
    severity: Severity

    @property
    def note(self) -> str:
        """Like "bid 99.96: 6"."""
        return f"{self.side} {readable(self.price)}: {readable(self.qty)}"


def find(market: SlowMarket) -> list[Wall] | UnsetType:
    """The walls of both sides, bids first; UNSET without P95."""
    if market.p95 is None:
        return UNSET
    return find_walls("bid", market.bids, market.p95) + find_walls("ask", market.asks, market.p95)


def find_walls(side: Side, levels: Columns, p95: float) -> list[Wall]:
    """The walls among the levels of one side, best first; p95 in base currency.

    Severity by quantity / (1.5 x P95): high from 3, medium from 2, low from 1 on.
    """
    threshold = FACTOR * p95
    places = np.flatnonzero(reached(levels.quantities[:MAX_LEVELS], threshold))[:MAX_LISTED]
    found = zip(levels.prices[places].tolist(), levels.quantities[places].tolist(), strict=True)
    return [
        Wall(side, price, quantity, severity_of(quantity, 2 * threshold, 3 * threshold)) for price, quantity in found
    ]
