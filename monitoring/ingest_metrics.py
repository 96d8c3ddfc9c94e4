"""Prometheus metrics of ingest.

No metric here is labelled by symbol, as in `monitoring.node_metrics` and `monitoring.dispatcher_metrics`: what happened to one symbol stands in the logs.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ws_connections = Gauge("nt_ws_connections", "WebSocket connections open to the exchange")
ws_resubscribe = Counter("nt_ws_resubscribe", "Connections made again, by reason", ["reason"])
ws_messages = Counter("nt_ws_messages", "Messages received from the exchange")
events = Counter("nt_ingest_events", "Valid events taken in", ["kind"])
rejected = Counter("nt_ingest_rejected", "Messages refused, by reason", ["reason"])
resyncs = Counter("nt_ingest_resyncs", "Order books that had to be loaded anew, by reason", ["reason"])
resync_latency = Histogram(
    "nt_ingest_resync_seconds",
    "From losing an order book to having it again",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
)
books_in_sync = Gauge("nt_ingest_books_in_sync", "Order books that are known to be right")
rest_requests = Counter("nt_ingest_rest_requests", "REST requests, by HTTP status or kind of failure", ["outcome"])
duplicates = Counter("nt_ingest_duplicates", "Copies of entries: by where they were noticed", ["where"])
dropped = Counter("nt_ingest_dropped", "Entries that never reached Redis, by reason", ["reason"])
buffer_entries = Gauge("nt_ingest_buffer_entries", "Entries waiting for Redis")
appended = Counter("nt_ingest_appended", "Entries Redis took")
append_latency = Histogram(
    "nt_ingest_append_ms",
    "From sending a batch to Redis to the last reply",
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000),
)
snapshots = Counter("nt_ingest_snapshots", "Order-book snapshots written, by reason", ["reason"])
redis_connects = Counter("nt_ingest_redis_connects", "Connections made to Redis")
