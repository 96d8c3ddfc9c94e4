"""How far the report can be trusted and the market traded, as one number from 0 to 100.

The score is the sum of four components. Each is a straight line between full marks and none, rounded to 1 decimal;
a component whose input is missing scores 0.
"""

from collections.abc import Iterable
from typing import Literal

Severity = Literal["low", "medium", "high"]

FRESHNESS_POINTS = 40.0
FRESH_MS = 300.0
STALE_MS = 2000.0
SPREAD_POINTS = 30.0
TIGHT_BPS = 1.0
WIDE_BPS = 20.0
BALANCE_POINTS = 20.0
ANOMALY_POINTS = 10.0
ANOMALY_COST: dict[Severity, float] = {"low": 2.5, "medium": 5.0, "high": 10.0}


def freshness(data_age_ms: float | None) -> float:
    """40 points up to 300 ms of data age, falling to 0 at 2,000 ms."""
    return _falling(data_age_ms, FRESH_MS, STALE_MS, FRESHNESS_POINTS)


def spread(spread_bps: float | None) -> float:
    """30 points up to 1 basis point, falling to 0 at 20."""
    return _falling(spread_bps, TIGHT_BPS, WIDE_BPS, SPREAD_POINTS)


def depth_balance(imbalance: float | None) -> float:
    """20 points at imbalance 0, falling to 0 at -1 and 1."""
    return _falling(None if imbalance is None else abs(imbalance), 0.0, 1.0, BALANCE_POINTS)


def anomalies(severities: Iterable[Severity] | None) -> float:
    """10 points, less 2.5 for each anomaly of low, 5 of medium and 10 of high severity, at least 0."""
    if severities is None:
        return 0.0
    return max(0.0, ANOMALY_POINTS - sum(ANOMALY_COST[severity] for severity in severities))


def _falling(value: float | None, best: float, worst: float, points: float) -> float:
    if value is None or not value < worst:  # not even a NaN
        return 0.0
    if value <= best:
        return points
    share = (worst - value) / (worst - best)
    return round(points * share, 1)
