"""Prometheus metrics of a node.

No metric has the symbol as a label: 1,000 symbols would make thousands of series for each process. A symbol's report
and `nt:assignment` show where it is; the logs tell what happened to it.
"""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram

from tickfence.monitoring.registry import labelled, role_registry

registry = role_registry()

_LATENCY_MS = (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000)


class CycleName(StrEnum):
    """The two kinds of task."""

    FAST = "fast"
    SLOW = "slow"


class Withheld(StrEnum):
    """Why a report is not written."""

    BAD_ENTRY = "bad entry"
    BAD_LEASE = "bad lease"
    BOOK = "book"
    NO_SNAPSHOT = "no snapshot"


class Dropped(StrEnum):
    """Why a task message is dropped."""

    LATE = "late"
    OLD_TERM = "old term"
    OTHER_OWNER = "other owner"


class RedisOperation(StrEnum):
    """What a failed call to Redis was for."""

    CYCLE = "cycle"


class ColdStart(StrEnum):
    """Why a symbol's state is built from the snapshot."""

    BAD_ENTRY = "bad entry"
    BEHIND = "behind"
    BOOK = "book"
    FIRST = "first"
    GAP = "gap"
    RENUMBERED = "renumbered"


node_heartbeat = Gauge(
    "nt_node_heartbeat", "Unix time of this node's last accepted heartbeat", ["node"], registry=registry
)
symbols_assigned = Gauge(
    "nt_symbols_assigned", "Symbols that this node owned within the last two periods", ["node"], registry=registry
)
lease_conflicts = Counter(
    "nt_lease_conflicts", "Leases refused because another owner of the same generation holds them", registry=registry
)
lease_refused = Counter(
    "nt_lease_refused", "Leases refused because the message is from an older assignment", registry=registry
)
writes_fenced = Counter(
    "nt_writes_fenced", "Writes refused although the lease had just been granted", registry=registry
)
report_publish = labelled(
    Counter, "nt_report_publish", "Writes accepted by Redis: reports, or slow sections", registry, cycle=CycleName
)
reports_withheld = labelled(Counter, "nt_reports_withheld", "Reports not written, by reason", registry, reason=Withheld)
ticks_dropped = labelled(
    Counter,
    "nt_ticks_dropped",
    "Task messages dropped unprocessed, by reason",
    registry,
    cycle=CycleName,
    reason=Dropped,
)
redis_errors = labelled(
    Counter, "nt_redis_errors", "Calls to Redis that failed, by operation", registry, operation=RedisOperation
)
event_errors = Counter("nt_event_errors", "Failed attempts to write an event", registry=registry)
data_age = Histogram(
    "nt_data_age_ms",
    "Age of the newest market data in an accepted report, when it was computed",
    buckets=(10, 25, 50, 75, 100, 125, 150, 175, 200, 225, 250, 275, 300, 350, 400, 500, 750, 1000, 2000, 5000),
    registry=registry,
)
calc_latency = labelled(
    Histogram,
    "nt_calc_latency_ms",
    "Time to compute what is written for one symbol, accepted or not",
    registry,
    {"buckets": (0.05, 0.1, *_LATENCY_MS)},
    cycle=CycleName,
)
dispatch_to_written = labelled(
    Histogram,
    "nt_dispatch_to_written_ms",
    "Time from when a task was due until its writes were accepted; once per task with an accepted write",
    registry,
    {"buckets": (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 35, 50, 75, 100, 150, 200, 250, 350, 500, 1000)},
    cycle=CycleName,
)
cold_starts = labelled(
    Counter, "nt_cold_starts", "Symbols whose state was built from the snapshot, by reason", registry, reason=ColdStart
)
