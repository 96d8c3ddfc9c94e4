"""Numbers of things in sentences. No I/O."""

from __future__ import annotations


def amount(count: int, one: str, many: str = "") -> str:
    """Return how many there are, like "1 row" or "no rows".

    Args:
        count: How many.
        one: What one is called.
        many: What several are called; without it ``one`` with an s.

    Example:
        >>> amount(0, "row"), amount(1, "anomaly", "anomalies"), amount(2_000, "row")
        ('no rows', '1 anomaly', '2,000 rows')
    """
    return f"{f'{count:,}' if count else 'no'} {one if count == 1 else many or one + 's'}"
