"""Metrics of a role, read from its page, and quantiles of Prometheus histograms."""

from __future__ import annotations

import math
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from tools.local import ports

Buckets = Mapping[float, float]
"""Upper bound -> number of observations up to it; the last bound is infinite."""


@dataclass
class Metrics:
    """Values of one or more pages, summed.

    The key is the metric's name with its labels, ``name{label=value}``, without ``node``.

    Attributes:
        counters: key -> value.
        histograms: key -> :data:`Buckets`.
    """

    counters: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    histograms: dict[str, dict[float, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))

    def add(self, port: int) -> None:
        """Add the values of the page on a loopback port.

        Raises:
            OSError: there is no page.
        """
        with urllib.request.urlopen(f"http://{ports.LOOPBACK}:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                labels = {name: value for name, value in one.labels.items() if name not in ("le", "node")}
                key = one.name.removesuffix("_bucket") + "".join(f"{{{n}={v}}}" for n, v in sorted(labels.items()))
                if "le" in one.labels:
                    bound = math.inf if one.labels["le"] == "+Inf" else float(one.labels["le"])
                    self.histograms[key][bound] += one.value
                else:
                    self.counters[key] += one.value

    def since(self, before: Metrics) -> Metrics:
        """The growth of each value."""
        return Metrics(
            {key: value - before.counters.get(key, 0.0) for key, value in self.counters.items()},
            {
                key: {bound: count - before.histograms.get(key, {}).get(bound, 0.0) for bound, count in found.items()}
                for key, found in self.histograms.items()
            },
        )


def quantile(buckets: Buckets, share: float) -> float:
    """The value below which a share of the observations is, linear within a bucket as in Prometheus.

    Args:
        buckets: of one histogram.
        share: from 0 to 1.

    Returns:
        The value, NaN without observations. In the infinite bucket it is the lower bound of that bucket.

    Example:
        >>> quantile({10.0: 50, 20.0: 100, math.inf: 100}, 0.75)
        15.0
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0
    if not total:
        return math.nan
    rank, lower, below = share * total, 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if math.isinf(bound):
                return lower
            inside = buckets[bound] - below
            return lower + (bound - lower) * ((rank - below) / inside if inside else 1.0)
        lower, below = bound, buckets[bound]
    return lower


def share_up_to(buckets: Buckets, bound: float) -> float:
    """The share of the observations that are at most ``bound``, which must be one of the bounds; NaN without any."""
    total = buckets[max(buckets)] if buckets else 0
    return buckets[bound] / total if total else math.nan
