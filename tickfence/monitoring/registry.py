"""One metrics registry for each role: a process serves its own metrics, even if it imports the modules of other roles."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any, TypeVar

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
    """A registry with the metrics of the process itself: CPU, memory, file descriptors, garbage collector."""
    disable_created_metrics()  # they add a series to each counter and histogram that no rule and no panel uses
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def labelled(
    kind: type[Labelled],
    name: str,
    text: str,
    registry: CollectorRegistry,
    options: dict[str, Any] | None = None,
    /,
    **labels: Iterable[str],
) -> Labelled:
    """A metric with labels, which has a series at 0 for every combination of their values.

    A series that appears together with its first event has no increase: `rate()` would miss rare events, such as a
    first conflict.

    Args:
        kind: Counter or Histogram.
        name: its name, for a counter without `_total`.
        text: what it counts or measures.
        registry: the role's registry.
        options: further arguments of `kind`, such as `buckets`.
        labels: each label with its values, usually an enum of strings.
    """
    metric = kind(name, text, list(labels), registry=registry, **(options or {}))
    for combination in product(*labels.values()):
        metric.labels(*combination)
    return metric
