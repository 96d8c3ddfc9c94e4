"""Prometheus metrics of a node.

No metric has the symbol as a label: 1,000 symbols would make thousands of series for each process. A symbol's report
and `nt:assignment` show where it is; the logs tell what happened to it.
"""

from __future__ import annotations

from tickfence.monitoring.registry import RoleRegistry

registry = RoleRegistry()

_CYCLES = ("fast", "slow")

node_heartbeat = registry.gauge("nt_node_heartbeat", "Unix time of this node's last accepted heartbeat", "node")
symbols_assigned = registry.gauge(
    "nt_symbols_assigned", "Symbols that this node owned within the last two periods", "node"
)
lease_conflicts = registry.counter(
    "nt_lease_conflicts", "Leases refused because another owner of the same generation holds them"
)
lease_refused = registry.counter("nt_lease_refused", "Leases refused because the message is from an older assignment")
writes_fenced = registry.counter("nt_writes_fenced", "Writes refused although the lease had just been granted")
report_publish = registry.counter(
    "nt_report_publish", "Writes accepted by Redis: reports, or slow sections", cycle=_CYCLES
)
reports_withheld = registry.counter(
    "nt_reports_withheld",
    "Reports not written, by reason",
    reason=("bad entry", "bad lease", "book", "error", "horizon", "no snapshot", "no symbol", "pause"),
)
history_missing = registry.counter(
    "nt_history_missing",
    "Entries of history that could not be made, so that a report went out without them: its row, or its basis",
    entry=("basis", "row"),
)
section_failures = registry.counter(
    "nt_section_failures",
    "Sections of other packages that failed, or took longer than they may, by section",
    section=(),
    reason=("error", "over budget"),
)
section_off = registry.gauge(
    "nt_section_off", "1 for a section of another package that is switched off, or cannot be used", "section"
)
ticks_dropped = registry.counter(
    "nt_ticks_dropped",
    "Task messages dropped unprocessed, by reason",
    cycle=_CYCLES,
    reason=("late", "old term", "other owner"),
)
messages_dropped = registry.counter(
    "nt_messages_dropped",
    "Messages that are no task messages of the dispatcher, by reason: dropped",
    reason=("failed", "unknown task", "unreadable"),
)
redis_errors = registry.counter("nt_redis_errors", "Calls to Redis that failed, by operation", operation=("cycle",))
event_errors = registry.counter("nt_event_errors", "Failed attempts to write an event")
data_age = registry.histogram(
    "nt_data_age_ms",
    "Age of the newest market data in an accepted report, when it was computed",
    buckets=(10, 25, 50, 75, 100, 125, 150, 175, 200, 225, 250, 275, 300, 350, 400, 500, 750, 1000, 2000, 5000),
)
exchange_to_report = registry.histogram(
    "nt_exchange_to_report_ms",
    "Time from the newest event at the exchange, by its clock, to the accepted report that is the first to tell of it",
    buckets=(25, 50, 75, 100, 150, 200, 250, 300, 400, 500, 750, 1000, 2000, 5000),
)
calc_latency = registry.histogram(
    "nt_calc_latency_ms",
    "Time to compute what is written for one symbol, accepted or not",
    buckets=(0.05, 0.1, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000),
    cycle=_CYCLES,
)
dispatch_to_written = registry.histogram(
    "nt_dispatch_to_written_ms",
    "Time from sending a task until its writes were accepted; once per task with an accepted write",
    buckets=(1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 35, 50, 75, 100, 150, 200, 250, 350, 500, 1000),
    cycle=_CYCLES,
)
cold_starts = registry.counter(
    "nt_cold_starts",
    "Symbols whose state was built from the snapshot, by reason",
    reason=("audit", "bad entry", "behind", "book", "error", "first", "gap", "horizon", "renumbered"),
)
