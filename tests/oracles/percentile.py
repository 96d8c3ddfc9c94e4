"""Percentiles by sorting everything."""


def percentile(quantities: list[float], percent: int) -> float | None:
    """Linear between the two nearest ranks of the last 10,000 quantities; None with fewer than 20."""
    last = sorted(quantities[-10_000:])
    if len(last) < 20:
        return None
    place = percent * (len(last) - 1)
    low, high = last[place // 100], last[min(place // 100 + 1, len(last) - 1)]
    return low + (high - low) * (place % 100) / 100
