"""Vacuums: runs of neighbouring levels that hold next to nothing, which a small order would sweep."""

from collections.abc import Sequence
from itertools import groupby

from analytics.health import Severity
from analytics.sections import Vacuum

SCANNED_LEVELS = 1000
"""Levels of each side, from the best on, that are looked at."""

MIN_LEVELS, MEDIUM_LEVELS, HIGH_LEVELS = 3, 6, 10
MAX_LISTED = 100
"""Vacuums that are listed, the longest ones if there are more."""


def find_vacuums(bids: Sequence[tuple[float, float]], asks: Sequence[tuple[float, float]], p10: float) -> list[Vacuum]:
    """Runs of at least 3 consecutive levels below the 10th percentile of level quantities, by rising price.

    Both sides make one ladder in price order: what touches across the spread is one run. Levels are those that the
    book has; a price without orders is not a level.

    Args:
        bids, asks: (price, quantity) levels of each side, best first.
        p10: in base currency.
    """
    ladder = [*reversed(bids[:SCANNED_LEVELS]), *asks[:SCANNED_LEVELS]]
    thin = [place for place, (_, quantity) in enumerate(ladder) if quantity < p10]
    found = []
    # Consecutive places have the same difference to their rank among the thin ones.
    for _, group in groupby(enumerate(thin), lambda ranked: ranked[1] - ranked[0]):
        run = [place for _, place in group]
        if len(run) >= MIN_LEVELS:
            found.append(Vacuum(ladder[run[0]][0], ladder[run[-1]][0], len(run), _severity(len(run))))
    if len(found) > MAX_LISTED:
        longest = sorted(found, key=lambda vacuum: vacuum.levels, reverse=True)[:MAX_LISTED]
        found = sorted(longest, key=lambda vacuum: vacuum.from_)
    return found


def _severity(levels: int) -> Severity:
    if levels >= HIGH_LEVELS:
        return "high"
    return "medium" if levels >= MEDIUM_LEVELS else "low"
