"""Vacuums: runs of neighbouring levels that hold next to nothing, so that a small order would sweep them."""

from __future__ import annotations

import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from tickfence.analytics.book_side import MAX_LEVELS, Columns
from tickfence.analytics.fields import Count, Finding, Price, Severity, readable, severity_of
from tickfence.analytics.limits import below
from tickfence.analytics.market import SlowMarket

ORDER = 2
MIN_LEVELS, MEDIUM_LEVELS, HIGH_LEVELS = 3, 6, 10
MAX_LISTED = 100
"""Vacuums that are listed, the longest ones if there are more."""


class Vacuum(Finding, frozen=True, rename={"from_": "from"}):
    """A run of neighbouring levels that hold next to nothing; `from` is its lowest price, `to` its highest."""

    from_: Price
    to: Price
    levels: Count
    severity: Severity

    @property
    def note(self) -> str:
        """Like "100.04 to 100.06, 3 levels"."""
        return f"{readable(self.from_)} to {readable(self.to)}, {self.levels} levels"


def find(market: SlowMarket) -> list[Vacuum] | UnsetType:
    """The vacuums of the whole book; UNSET without P10."""
    return UNSET if market.p10 is None else find_vacuums(market.bids, market.asks, market.p10)


def find_vacuums(bids: Columns, asks: Columns, p10: float) -> list[Vacuum]:
    """Runs of at least 3 consecutive levels below the 10th percentile of level quantities, by rising price.

    Both sides make one ladder in price order, so a run may span the spread. A price without orders is not a level.

    Args:
        bids, asks: levels of each side, best first.
        p10: in base currency.
    """
    thin = below(_ladder(bids.quantities, asks.quantities), p10)
    # A run is a chain of neighbouring triples. There are few, so nearly all is done after the first two passes.
    triples = np.flatnonzero(thin[:-2] & thin[1:-1] & thin[2:])
    if not len(triples):
        return []
    prices = _ladder(bids.prices, asks.prices)
    breaks = np.flatnonzero(triples[1:] != triples[:-1] + 1)
    first, last = triples[np.append(0, breaks + 1)], triples[np.append(breaks, -1)] + MIN_LEVELS - 1
    runs = zip(prices[first].tolist(), prices[last].tolist(), (last - first + 1).tolist(), strict=True)
    found = [Vacuum(from_, to, levels, severity_of(levels, MEDIUM_LEVELS, HIGH_LEVELS)) for from_, to, levels in runs]
    if len(found) > MAX_LISTED:
        longest = sorted(found, key=lambda vacuum: vacuum.levels, reverse=True)[:MAX_LISTED]
        found = sorted(longest, key=lambda vacuum: vacuum.from_)
    return found


def _ladder(bids: NDArray[np.float64], asks: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate((bids[:MAX_LEVELS][::-1], asks[:MAX_LEVELS]))
