"""Prometheus metrics of ingest.

No metric here is labelled by symbol, as in `monitoring.node_metrics` and `monitoring.dispatcher_metrics`: what happened to one symbol stands in the logs.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from tickfence.monitoring.registry import known, role_registry

registry = role_registry()

REFUSALS = (
    *("bad_price", "bad_quantity", "bad_time", "bad_update_ids", "crossed_book", "not_a_number", "not_json"),
    *("oversized", "unknown_event", "unknown_symbol", "update_id_back", "wrong_type"),
)

ws_connections = Gauge("nt_ws_connections", "WebSocket connections open to the exchange", registry=registry)
ws_resubscribe = known(
    Counter("nt_ws_resubscribe", "Connections made again, by reason", ["reason"], registry=registry),
    ("ended", "lifetime", "shutdown"),
)
ws_messages = Counter("nt_ws_messages", "Messages received from the exchange", registry=registry)
events = known(
    Counter("nt_ingest_events", "Valid events taken in", ["kind"], registry=registry), ("diff", "ticker", "trade")
)
rejected = known(Counter("nt_ingest_rejected", "Messages refused, by reason", ["reason"], registry=registry), REFUSALS)
resyncs = known(
    Counter("nt_ingest_resyncs", "Order books that had to be loaded anew, by reason", ["reason"], registry=registry),
    ("gap", "shallow", *REFUSALS),
)
resync_latency = Histogram(
    "nt_ingest_resync_seconds",
    "From losing an order book to having it again",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
    registry=registry,
)
books = Gauge("nt_ingest_books", "Order books to be kept, one a symbol", registry=registry)
books_in_sync = Gauge("nt_ingest_books_in_sync", "Order books that are known to be right", registry=registry)
rest_requests = Counter(
    "nt_ingest_rest_requests", "REST requests, by HTTP status or kind of failure", ["outcome"], registry=registry
)
duplicates = known(
    Counter("nt_ingest_duplicates", "Copies of entries: by where they were noticed", ["where"], registry=registry),
    ("feed", "ingest", "redis"),
)
dropped = known(
    Counter("nt_ingest_dropped", "Entries that never reached Redis, by reason", ["reason"], registry=registry),
    ("buffer_full", "redis_error"),
)
trades_missing = Counter(
    "nt_ingest_trades_missing",
    "Trades unknown to this process that were not in the stream when it appended later ones",
    registry=registry,
)
buffer_entries = Gauge("nt_ingest_buffer_entries", "Entries waiting for Redis", registry=registry)
appended = Counter("nt_ingest_appended", "Entries Redis took", registry=registry)
append_latency = Histogram(
    "nt_ingest_append_ms",
    "From sending a batch to Redis to the last reply",
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000),
    registry=registry,
)
snapshots = known(
    Counter("nt_ingest_snapshots", "Order-book snapshots written, by reason", ["reason"], registry=registry),
    ("anew", "dropped", "interval", "lost", "sync"),
)
redis_connects = Counter("nt_ingest_redis_connects", "Connections made to Redis", registry=registry)
