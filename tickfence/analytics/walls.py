"""Walls: levels that hold far more than levels usually do."""

import numpy as np

from tickfence.analytics.book_side import Columns
from tickfence.analytics.health import Severity
from tickfence.analytics.sections import Side, Wall

FACTOR = 1.5
"""A wall holds at least this many times the 95th percentile of level quantities."""

SCANNED_LEVELS = 1000
"""Levels of each side, from the best on, that are looked at."""

MAX_LISTED = 50
"""Walls of each side that are listed, from the best price on."""


def find_walls(side: Side, levels: Columns, p95: float) -> list[Wall]:
    """The walls among the levels of one side, best first; p95 in base currency.

    Severity by quantity / (1.5 x P95): high from 3, medium from 2, low from 1 on.
    """
    threshold = FACTOR * p95
    places = np.flatnonzero(levels.quantities[:SCANNED_LEVELS] >= threshold)[:MAX_LISTED]
    found = zip(levels.prices[places].tolist(), levels.quantities[places].tolist(), strict=True)
    return [Wall(side, price, quantity, _severity(quantity, threshold)) for price, quantity in found]


def _severity(quantity: float, threshold: float) -> Severity:
    if quantity >= 3 * threshold:
        return "high"
    return "medium" if quantity >= 2 * threshold else "low"
