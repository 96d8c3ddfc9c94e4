"""Prometheus metrics of a dispatcher (``celery beat``)."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

leading = Gauge("nt_dispatcher_leading", "1 while this dispatcher leads")
term = Gauge("nt_dispatcher_term", "Term of the lead in force")
nodes_alive = Gauge("nt_nodes_alive", "Nodes the dispatcher takes for alive")
hrw_rebalances = Counter("nt_hrw_rebalances", "Changes of the assignment")
symbol_moves = Counter("nt_symbol_moves", "Symbols that changed hands, by reason", ["reason"])
cycles = Counter("nt_cycles", "Cycles dispatched", ["entry"])
cycles_skipped = Counter(
    "nt_cycles_skipped",
    "Not dispatched: a node's slice of a cycle that still waited from the cycle before (backlog); a batch (broker)",
    ["entry", "reason"],
)
messages_sent = Counter("nt_messages_sent", "Task messages sent")
redis_errors = Counter(
    "nt_dispatcher_redis_errors", "Calls to Redis that failed, by what was to be done", ["operation"]
)
