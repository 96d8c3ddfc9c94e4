"""Prometheus metrics of a node.

No metric here is labelled by symbol: with 1,000 symbols that would be thousands of series a process. Which symbol
is where stands in its report and in ``nt:assignment``; what happened to it, in the logs.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from tickfence.monitoring.registry import known, role_registry

registry = role_registry()

_CYCLES = ("fast", "slow")
_LATENCY_MS = (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000)

node_heartbeat = Gauge(
    "nt_node_heartbeat", "Unix time of this node's last accepted heartbeat", ["node"], registry=registry
)
symbols_assigned = Gauge(
    "nt_symbols_assigned",
    "Symbols this node was known to own within the last two periods",
    ["node"],
    registry=registry,
)
lease_conflicts = Counter(
    "nt_lease_conflicts", "Leases refused because another owner of the same generation held them", registry=registry
)
lease_refused = Counter(
    "nt_lease_refused", "Leases refused because the message was of an older assignment", registry=registry
)
writes_fenced = Counter(
    "nt_writes_fenced", "Writes refused though their lease had just been granted", registry=registry
)
report_publish = known(
    Counter("nt_report_publish", "Writes accepted by Redis: reports, or slow sections", ["cycle"], registry=registry),
    _CYCLES,
)
reports_withheld = known(
    Counter("nt_reports_withheld", "Reports not written, by reason", ["reason"], registry=registry),
    ("bad entry", "bad lease", "book", "no snapshot"),
)
ticks_dropped = known(
    Counter("nt_ticks_dropped", "Task messages dropped unprocessed, by reason", ["cycle", "reason"], registry=registry),
    _CYCLES,
    ("late", "old term", "other owner"),
)
redis_errors = known(
    Counter("nt_redis_errors", "Calls to Redis that failed, by what was to be done", ["operation"], registry=registry),
    ("cycle",),
)
event_errors = Counter("nt_event_errors", "Tries to write an event that failed", registry=registry)
data_age = Histogram(
    "nt_data_age_ms",
    "Age of the newest market data in an accepted report, as of its computation",
    buckets=(10, 25, 50, 75, 100, 125, 150, 175, 200, 225, 250, 275, 300, 350, 400, 500, 750, 1000, 2000, 5000),
    registry=registry,
)
calc_latency = known(
    Histogram(
        "nt_calc_latency_ms",
        "Time to compute what is written of one symbol, accepted or not",
        ["cycle"],
        buckets=(0.05, 0.1, *_LATENCY_MS),
        registry=registry,
    ),
    _CYCLES,
)
dispatch_to_written = known(
    Histogram(
        "nt_dispatch_to_written_ms",
        "From when a task was due until its writes were accepted; once a task, if any was",
        ["cycle"],
        buckets=(1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 35, 50, 75, 100, 150, 200, 250, 350, 500, 1000),
        registry=registry,
    ),
    _CYCLES,
)
cold_starts = known(
    Counter(
        "nt_cold_starts", "Symbols whose state was built from the snapshot, by reason", ["reason"], registry=registry
    ),
    ("bad entry", "behind", "book", "first", "gap", "renumbered"),
)
