"""Percentiles by sorting everything, in exact decimals."""

from decimal import Decimal

from tests.oracles.exact import exact


def percentile(quantities: list[float], percent: int) -> Decimal | None:
    """Linear between the two nearest ranks of the last 10,000 quantities; None with fewer than 20."""
    last = sorted(quantities[-10_000:])
    if len(last) < 20:
        return None
    place = percent * (len(last) - 1)
    low, high = (exact(last[min(rank, len(last) - 1)]) for rank in (place // 100, place // 100 + 1))
    return low + (high - low) * (place % 100) / 100
