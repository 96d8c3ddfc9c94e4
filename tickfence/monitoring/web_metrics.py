"""Prometheus metrics of the web server.

No metric has the symbol or the client as a label: their number has no bound.
"""

from __future__ import annotations

from tickfence.monitoring.registry import RoleRegistry

registry = RoleRegistry()

CLASSES = ("2xx", "3xx", "4xx", "5xx")
OTHER = "other"
"""The operation of a request for anything but the HTTP API: the page's files, MCP, an address that there is not."""

requests = registry.counter(
    "nt_web_requests", "Requests answered, by operation of the HTTP API and status", operation=(), status=CLASSES
)
latency = registry.histogram(
    "nt_web_latency_ms",
    "Time from a request to the beginning of its answer",
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500),
    operation=(),
)
streams = registry.gauge("nt_web_streams", "Open streams")
refused = registry.counter("nt_web_refused", "Requests refused, by the code of the problem", reason=())
