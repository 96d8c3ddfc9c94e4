"""The report's `health`: how well you can trust the data and trade the market, as one number from 0 to 100.

The score is the sum of four components. Each falls in a straight line from full marks to 0 and is rounded to 1 decimal.
A component whose input is missing scores 0.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tickfence.analytics.fields import Severity

FRESHNESS_POINTS = 40.0
FRESH_MS = 300.0
STALE_MS = 2000.0
SPREAD_POINTS = 30.0
TIGHT_BPS = 1.0
WIDE_BPS = 20.0
BALANCE_POINTS = 20.0
ANOMALY_POINTS = 10.0
ANOMALY_COST: dict[Severity, float] = {"low": 2.5, "medium": 5.0, "high": 10.0}


class Component(Struct, frozen=True, gc=False):
    """One part of the health score."""

    metric: Literal["freshness", "spread", "depth_balance", "anomalies"]
    score: Annotated[float, Meta(ge=0, le=40)]


class Health(Struct, frozen=True):
    """The sum of its components, 0 to 100."""

    score: Annotated[float, Meta(ge=0, le=100)]
    components: list[Component]


def health(
    age_ms: int | None, spread_bps: float | None, imbalance: float | None, severities: Iterable[Severity] | None
) -> Health:
    """The section.

    Args:
        age_ms: data age.
        spread_bps: spread in basis points, unrounded.
        imbalance: depth imbalance, -1 to 1, unrounded.
        severities: those of the report's anomalies.
    """
    components = [
        Component("freshness", freshness(age_ms)),
        Component("spread", spread(spread_bps)),
        Component("depth_balance", depth_balance(imbalance)),
        Component("anomalies", anomalies(severities)),
    ]
    return Health(round(sum([component.score for component in components]), 1), components)


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
