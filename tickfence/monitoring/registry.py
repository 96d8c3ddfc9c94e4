"""One metrics registry for each role: a process serves its own metrics, even if it imports the modules of other roles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from tickfence.monitoring.log_metrics import DroppedLines


class RoleRegistry(CollectorRegistry):
    """The metrics of a role, and those of the process itself: CPU, memory, file descriptors, garbage collector, dropped log lines.

    A label of a counter or histogram is given with its values, usually an enum of strings. The metric then has a series
    at 0 for every combination of them: a series that appears together with its first event has no increase, so `rate()`
    would miss rare events, such as a first conflict. A label without values is one whose values are not known before; `begin`
    names one when it is.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # they add a series to each counter and histogram that no rule and no panel uses
        super().__init__()
        self._begun_later: list[tuple[Counter | Gauge | Histogram, dict[str, Iterable[str]]]] = []
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self)
        self.register(DroppedLines())

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """A gauge with these labels, which shows what `text` says."""
        gauge = Gauge(name, text, labels, registry=self)
        self._begun_later.append((gauge, dict.fromkeys(labels, ())))
        return gauge

    def counter(self, name: str, text: str, **labels: Iterable[str]) -> Counter:
        """A counter of what `text` says. Its name is given without `_total`."""
        counter = Counter(name, text, list(labels), registry=self)
        self._begin_at_zero(counter, labels)
        return counter

    def histogram(self, name: str, text: str, buckets: Sequence[float], **labels: Iterable[str]) -> Histogram:
        """A histogram of what `text` says, with the upper bounds of its buckets."""
        histogram = Histogram(name, text, list(labels), buckets=buckets, registry=self)
        self._begin_at_zero(histogram, labels)
        return histogram

    def begin(self, **values: str) -> None:
        """Let the series with these labels start at 0, in every metric that has them and knows the values of all others."""
        for metric, labels in self._begun_later:
            if labels.keys() >= values.keys():
                _begin(metric, labels | {label: (value,) for label, value in values.items()})

    def _begin_at_zero(self, metric: Counter | Histogram, labels: dict[str, Iterable[str]]) -> None:
        self._begun_later.append((metric, labels))
        _begin(metric, labels)


def _begin(metric: Counter | Gauge | Histogram, labels: Mapping[str, Iterable[str]]) -> None:
    for values in product(*labels.values()) if labels else ():
        metric.labels(*values)
