"""Prometheus metrics of a dispatcher (``celery beat``)."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from tickfence.monitoring.registry import known, role_registry

registry = role_registry()

_ENTRIES = ("fast-cycle", "slow-cycle")

leading = Gauge("nt_dispatcher_leading", "1 while this dispatcher leads", registry=registry)
term = Gauge("nt_dispatcher_term", "Term of the lead in force", registry=registry)
nodes_alive = Gauge("nt_nodes_alive", "Nodes the dispatcher takes for alive", registry=registry)
reports_due = Gauge(
    "nt_reports_due_per_second", "Reports a second there should be: symbols by the report period", registry=registry
)
hrw_rebalances = Counter("nt_hrw_rebalances", "Changes of the assignment", registry=registry)
symbol_moves = known(
    Counter("nt_symbol_moves", "Symbols that changed hands, by reason", ["reason"], registry=registry),
    ("join", "orphan", "rebalance"),
)
cycles = known(Counter("nt_cycles", "Cycles dispatched", ["entry"], registry=registry), _ENTRIES)
cycles_skipped = known(
    Counter(
        "nt_cycles_skipped",
        "Not dispatched: a node's slice of a cycle that still waited from the cycle before (backlog); a batch (broker)",
        ["entry", "reason"],
        registry=registry,
    ),
    _ENTRIES,
    ("backlog", "broker"),
)
messages_sent = Counter("nt_messages_sent", "Task messages sent", registry=registry)
redis_errors = Counter("nt_dispatcher_redis_errors", "Looks at the data plane that failed", registry=registry)
event_errors = Counter("nt_event_errors", "Tries to write an event that failed", registry=registry)
broker_errors = Counter(
    "nt_dispatcher_broker_errors",
    "Calls to the broker that failed: to ask for the queues' lengths, or to send",
    registry=registry,
)
