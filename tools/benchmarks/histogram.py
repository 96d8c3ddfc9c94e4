"""Quantiles of Prometheus histograms, as ``histogram_quantile`` finds them: linear within a bucket."""

from __future__ import annotations

import math
from collections.abc import Mapping

Buckets = Mapping[float, float]
"""Upper bound -> observations up to there, the last bound infinite."""


def quantile(buckets: Buckets, share: float) -> float:
    """The value below which ``share`` (0 to 1) of the observations are; NaN without any.

    In the infinite bucket it is that bucket's lower bound: at least so much.

    Example:
        >>> quantile({10.0: 50, 20.0: 100, math.inf: 100}, 0.75)
        15.0
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0
    if not total:
        return math.nan
    wanted, lower, below = share * total, 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= wanted:
            if math.isinf(bound):
                return lower
            inside = buckets[bound] - below
            return lower + (bound - lower) * ((wanted - below) / inside if inside else 1.0)
        lower, below = bound, buckets[bound]
    return lower


def share_up_to(buckets: Buckets, bound: float) -> float:
    """Which share of the observations is at most ``bound``, one of the bounds; NaN without any."""
    total = buckets[max(buckets)] if buckets else 0
    return buckets[bound] / total if total else math.nan
