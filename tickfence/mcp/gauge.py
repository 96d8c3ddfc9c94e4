"""How one number of a symbol's history was over time, and whether it changed. No I/O.

A number counts as changed when it differs by at least `LIMITS` between first and last; as swung when it does not, and did
in between. All but the price jump from row to row, so what counts of them are medians of some seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import median_low
from typing import Literal, NamedTuple

from msgspec import Struct

from tickfence.analytics.history_row import HistoryRow
from tickfence.analytics.limits import reached

SMOOTHED_MS = 10_000
"""A number that jumps from row to row is judged by its medians over so many ms."""

MEDIAN_OF = 3
"""The least number of rows whose median counts, but at the first and the last row."""

Trend = Literal["rose", "fell", "swung", "steady"]


class Limit(NamedTuple):
    """From which difference on a number counts as changed.

    Attributes:
        share: Of the largest of the values that are compared, by its absolute value.
        least: In the number's own unit.
        jumps: Whether it jumps from row to row. Then medians over `SMOOTHED_MS` count.
    """

    share: float = 0.0
    least: float = 0.0
    jumps: bool = True

    def reached(self, values: Sequence[float]) -> bool:
        """Return whether the lowest and the highest of ``values`` differ enough."""
        enough = max(self.least, self.share * max(map(abs, values)))
        return enough > 0 and reached(max(values) - min(values), enough)


LIMITS: dict[str, Limit] = {
    "mid_price": Limit(share=0.001, jumps=False),
    "spread_bps": Limit(share=0.25),
    "bid_qty": Limit(share=0.25),
    "ask_qty": Limit(share=0.25),
    "imbalance": Limit(least=0.2),
    "orders_per_sec": Limit(share=0.5),
    "net_flow": Limit(share=0.5),
    "health": Limit(least=5.0),
}
"""The numbers that are compared."""


class Gauge(Struct, frozen=True):
    """One number over time; rows that lack it do not count."""

    trend: Trend
    first: float
    last: float
    low: float
    low_at: int
    high: float
    high_at: int
    median: float


def gauged(rows: Iterable[HistoryRow], name: str, limit: Limit) -> Gauge | None:
    """Return how the number ``name`` was over ``rows``, which come by rising time; ``None`` if no row has it."""
    known = [(value, row.time_ms) for row in rows if (value := getattr(row, name)) is not None]
    if not known:
        return None
    (low, low_at), (high, high_at) = min(known), max(known, key=lambda one: (one[0], -one[1]))
    begin, end = known[0][1], known[-1][1]
    width_ms = SMOOTHED_MS if limit.jumps else 0
    first = median_low([value for value, at in known if at <= begin + width_ms])
    last = median_low([value for value, at in known if at >= end - width_ms])
    levels = [low, high]
    if limit.jumps:
        groups = [
            [value for value, _ in group] for _, group in groupby(known, lambda one: (one[1] - begin) // width_ms)
        ]
        levels = [first, last, *(median_low(group) for group in groups if len(group) >= MEDIAN_OF)]
    trend: Trend = "steady"
    if limit.reached([first, last]):
        trend = "rose" if last > first else "fell"
    elif limit.reached(levels):
        trend = "swung"
    return Gauge(trend, first, last, low, low_at, high, high_at, median_low([value for value, _ in known]))
