"""The metric of the log. It is apart from the writer, because readers write logs without Prometheus' package."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from tickfence.monitoring.log_writer import writer


class DroppedLines(Collector):
    """The metric `nt_log_lines_dropped_total` of this process."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The metric as it is now."""
        text = "Log lines that were not written: nobody read them, or their file could not be written"
        yield CounterMetricFamily("nt_log_lines_dropped", text, value=writer.dropped)
