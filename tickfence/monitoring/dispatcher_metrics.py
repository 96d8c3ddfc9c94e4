"""Prometheus metrics of a dispatcher (`celery beat`)."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import Counter, Gauge

from tickfence.monitoring.registry import labelled, role_registry

registry = role_registry()


class Entry(StrEnum):
    """The entries of the beat schedule."""

    FAST = "fast-cycle"
    SLOW = "slow-cycle"


class MoveCause(StrEnum):
    """Why the assignment gives a symbol to another node."""

    JOIN = "join"
    ORPHAN = "orphan"
    REBALANCE = "rebalance"


class Skipped(StrEnum):
    """Why something was not dispatched."""

    BACKLOG = "backlog"
    BROKER = "broker"


leading = Gauge("nt_dispatcher_leading", "1 while this dispatcher leads", registry=registry)
term = Gauge("nt_dispatcher_term", "Current term of the leader", registry=registry)
nodes_alive = Gauge("nt_nodes_alive", "Nodes that the dispatcher counts as alive", registry=registry)
reports_due = Gauge(
    "nt_reports_due_per_second", "Reports that are due per second: symbols / report period", registry=registry
)
hrw_rebalances = Counter("nt_hrw_rebalances", "Changes of the assignment", registry=registry)
symbol_moves = labelled(
    Counter, "nt_symbol_moves", "Symbols that changed their owner, by reason", registry, reason=MoveCause
)
cycles = labelled(Counter, "nt_cycles", "Cycles dispatched", registry, entry=Entry)
cycles_skipped = labelled(
    Counter,
    "nt_cycles_skipped",
    "Not dispatched: a node's slice whose previous cycle still waits (backlog), or a batch that failed (broker)",
    registry,
    entry=Entry,
    reason=Skipped,
)
messages_sent = Counter("nt_messages_sent", "Task messages sent", registry=registry)
redis_errors = Counter("nt_dispatcher_redis_errors", "Failed reads of the data plane", registry=registry)
event_errors = Counter("nt_event_errors", "Failed attempts to write an event", registry=registry)
broker_errors = Counter(
    "nt_dispatcher_broker_errors", "Failed calls to the broker: reading queue lengths, or sending", registry=registry
)
