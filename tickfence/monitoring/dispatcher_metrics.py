"""Prometheus metrics of a dispatcher (`celery beat`)."""

from __future__ import annotations

from tickfence.monitoring.registry import RoleRegistry

registry = RoleRegistry()

_ENTRIES = ("fast-cycle", "slow-cycle")

leading = registry.gauge("nt_dispatcher_leading", "1 while this dispatcher leads")
shards = registry.gauge("nt_dispatch_shards", "Shards of the symbols that this dispatcher sends for")
term = registry.gauge("nt_dispatcher_term", "Current term of the leader")
nodes_alive = registry.gauge("nt_nodes_alive", "Nodes that the dispatcher counts as alive")
nodes_stuck = registry.gauge(
    "nt_nodes_stuck", "Nodes that the leader counts as alive but stuck: they take no messages and get no symbols"
)
node_stuck = registry.counter("nt_node_stuck", "Nodes that the leader found to be stuck")
symbols_set_aside = registry.gauge(
    "nt_symbols_set_aside", "Symbols that the leader gives to no node: two nodes got stuck while they worked on them"
)
reports_due = registry.gauge("nt_reports_due_per_second", "Reports that are due per second: symbols / report period")
hrw_rebalances = registry.counter("nt_hrw_rebalances", "Changes of the assignment")
symbol_moves = registry.counter(
    "nt_symbol_moves", "Symbols that changed their owner, by reason", reason=("join", "orphan", "rebalance")
)
cycles = registry.counter("nt_cycles", "Cycles dispatched", entry=_ENTRIES)
cycles_skipped = registry.counter(
    "nt_cycles_skipped",
    "Not dispatched: a node's slice whose previous cycle still waits (backlog), or a batch that failed (broker)",
    entry=_ENTRIES,
    reason=("backlog", "broker"),
)
messages_sent = registry.counter("nt_messages_sent", "Task messages sent")
desired_unreadable = registry.counter("nt_desired_unreadable", "Reads of a desired state that cannot be read")
redis_errors = registry.counter("nt_dispatcher_redis_errors", "Failed reads of the data plane")
event_errors = registry.counter("nt_event_errors", "Failed attempts to write an event")
broker_errors = registry.counter(
    "nt_dispatcher_broker_errors", "Failed calls to the broker: reading queue lengths, or sending"
)
