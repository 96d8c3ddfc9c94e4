"""Quantities resting near the best prices."""

from collections.abc import Sequence

DEPTH_LEVELS = 20
"""Levels of each side that count as depth."""


def total_quantity(quantities: Sequence[float]) -> float:
    """Sum of the quantities of levels, in base currency; 0 for no levels."""
    return sum(quantities)


def imbalance(total_bid: float, total_ask: float) -> float | None:
    """(bid - ask) / (bid + ask): from -1 (only asks) to 1 (only bids). None when a side is empty."""
    if not (total_bid > 0 and total_ask > 0):
        return None
    return (total_bid - total_ask) / (total_bid + total_ask)
