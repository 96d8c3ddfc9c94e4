"""Vacuums: runs of neighbouring levels that hold next to nothing, which a small order would sweep."""

import numpy as np

from analytics.book_side import Columns
from analytics.health import Severity
from analytics.sections import Vacuum

SCANNED_LEVELS = 1000
"""Levels of each side, from the best on, that are looked at."""

MIN_LEVELS, MEDIUM_LEVELS, HIGH_LEVELS = 3, 6, 10
MAX_LISTED = 100
"""Vacuums that are listed, the longest ones if there are more."""


def find_vacuums(bids: Columns, asks: Columns, p10: float) -> list[Vacuum]:
    """Runs of at least 3 consecutive levels below the 10th percentile of level quantities, by rising price.

    Both sides make one ladder in price order: what touches across the spread is one run. Levels are those that the
    book has; a price without orders is not a level.

    Args:
        bids, asks: levels of each side, best first.
        p10: in base currency.
    """
    prices, quantities = (
        np.concatenate((bid[:SCANNED_LEVELS][::-1], ask[:SCANNED_LEVELS])) for bid, ask in zip(bids, asks, strict=True)
    )
    thin = np.flatnonzero(quantities < p10)
    # A run ends where the next thin level is not the next level.
    ends = np.flatnonzero(np.diff(thin, append=len(quantities) + 1) > 1)
    levels = np.diff(ends, prepend=-1)
    long = levels >= MIN_LEVELS
    last, levels = thin[ends[long]], levels[long]
    columns = prices[last - levels + 1].tolist(), prices[last].tolist(), levels.tolist()
    found = [Vacuum(from_, to, count, _severity(count)) for from_, to, count in zip(*columns, strict=True)]
    if len(found) > MAX_LISTED:
        longest = sorted(found, key=lambda vacuum: vacuum.levels, reverse=True)[:MAX_LISTED]
        found = sorted(longest, key=lambda vacuum: vacuum.from_)
    return found


def _severity(levels: int) -> Severity:
    if levels >= HIGH_LEVELS:
        return "high"
    return "medium" if levels >= MEDIUM_LEVELS else "low"
