"""One registry for each role's metrics: a process shows its own, though it imports the modules of other roles, too."""

from __future__ import annotations

from itertools import product
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

Labelled = TypeVar("Labelled", Counter, Histogram)


def role_registry() -> CollectorRegistry:
    """An empty registry but for the metrics of the process itself: CPU, memory, file descriptors, garbage collector."""
    disable_created_metrics()  # one series more for each counter and histogram, which no rule and no panel uses
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def known(metric: Labelled, *values: tuple[str, ...]) -> Labelled:
    """``metric`` with a series at 0 for every combination of label values; ``values`` are those of each label.

    A series that appears together with its first event has no increase: `rate()` would miss what is rare, like a
    first conflict.
    """
    for combination in product(*values):
        metric.labels(*combination)
    return metric
