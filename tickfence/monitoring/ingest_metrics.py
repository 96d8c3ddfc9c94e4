"""Prometheus metrics of ingest.

No metric has the symbol as a label, for the same reason as in node_metrics; the logs tell what happened to a symbol.
"""

from __future__ import annotations

from enum import StrEnum

from tickfence.monitoring.registry import RoleRegistry

registry = RoleRegistry()


class Reconnect(StrEnum):
    """Why a WebSocket connection is opened again."""

    ENDED = "ended"
    LIFETIME = "lifetime"
    SHUTDOWN = "shutdown"


class EventKind(StrEnum):
    """Kinds of market data."""

    DIFF = "diff"
    TICKER = "ticker"
    TRADE = "trade"


class Refusal(StrEnum):
    """Why a message is refused."""

    BAD_PRICE = "bad_price"
    BAD_QUANTITY = "bad_quantity"
    BAD_TIME = "bad_time"
    BAD_UPDATE_IDS = "bad_update_ids"
    CHECKSUM = "checksum"
    CROSSED_BOOK = "crossed_book"
    NOT_A_NUMBER = "not_a_number"
    NOT_JSON = "not_json"
    OVERSIZED = "oversized"
    UNKNOWN_EVENT = "unknown_event"
    UNKNOWN_SYMBOL = "unknown_symbol"
    UPDATE_ID_BACK = "update_id_back"
    WRONG_TYPE = "wrong_type"


class Resync(StrEnum):
    """Why an order book is loaded again, besides a refused message."""

    DISCONNECTED = "disconnected"
    GAP = "gap"


class Duplicate(StrEnum):
    """Where a copy of an entry is recognised."""

    FEED = "feed"
    INGEST = "ingest"
    REDIS = "redis"


class EntryLost(StrEnum):
    """Why an entry does not reach Redis."""

    BUFFER_FULL = "buffer_full"
    REDIS_ERROR = "redis_error"


class SnapshotReason(StrEnum):
    """Why an order-book snapshot is written."""

    RENUMBERED = "anew"  # the exchange numbers its updates from the start again
    CORRECTED = "corrected"
    DROPPED = "dropped"
    INTERVAL = "interval"
    LOST = "lost"
    REFRESHED = "refreshed"
    SYNC = "sync"
    TAKEOVER = "takeover"


ws_connections = registry.gauge("nt_ws_connections", "Open WebSocket connections to an exchange", "venue")
ws_resubscribe = registry.counter(
    "nt_ws_resubscribe", "Connections opened again, by venue and reason", venue=(), reason=Reconnect
)
subscriptions_refused = registry.counter(
    "nt_ws_subscriptions_refused",
    "Subscriptions of one symbol that the exchange refused; tried again after a minute, and after a quarter of an hour at most",
    venue=(),
)
ws_messages = registry.counter("nt_ws_messages", "Messages received from an exchange", venue=())
events = registry.counter("nt_ingest_events", "Valid events received", venue=(), kind=EventKind)
rejected = registry.counter("nt_ingest_rejected", "Messages refused, by venue and reason", venue=(), reason=Refusal)
resyncs = registry.counter(
    "nt_ingest_resyncs",
    "Order books that had to be loaded again, by venue and reason",
    venue=(),
    reason=(*Resync, *Refusal),
)
resync_latency = registry.histogram(
    "nt_ingest_resync_seconds",
    "Time from losing an order book until it is in sync again",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
)
book_audits = registry.counter("nt_book_audits", "Order books in sync that were compared with a fresh snapshot")
book_audit_mismatch = registry.counter(
    "nt_book_audit_mismatch", "Order books that differed from the exchange's fresh snapshot, and were loaded again"
)
symbols_unlisted = registry.gauge("nt_ingest_symbols_unlisted", "Symbols that the exchange does not list", "venue")
symbols_without_venue = registry.gauge(
    "nt_ingest_symbols_without_venue", "Symbols that are not followed, because their venue cannot be used here"
)
venue_failures = registry.counter(
    "nt_ingest_venue_failures", "Times that the code of a venue failed and was started again", venue=()
)
books = registry.gauge("nt_ingest_books", "Order books that ingest keeps, one per symbol", "venue")
books_in_sync = registry.gauge("nt_ingest_books_in_sync", "Order books that are in sync", "venue")
rest_requests = registry.counter(
    "nt_ingest_rest_requests", "REST requests, by venue, and by HTTP status or kind of failure", venue=(), outcome=()
)
clock_skew = registry.gauge(
    "nt_exchange_clock_skew_ms",
    "By how much the clock of Redis is ahead of the exchange's, plus the shortest network delay, over the last minute",
    "venue",
)
duplicates = registry.counter(
    "nt_ingest_duplicates", "Copies of entries, by where they were recognised", where=Duplicate
)
dropped = registry.counter("nt_ingest_dropped", "Entries that did not reach Redis, by reason", reason=EntryLost)
trades_missing = registry.counter(
    "nt_ingest_trades_missing",
    "Trades that were not in the stream when later ones were appended, and that the exchange did not give in time",
)
buffer_entries = registry.gauge("nt_ingest_buffer_entries", "Entries that wait for Redis")
appended = registry.counter("nt_ingest_appended", "Entries that Redis accepted")
leases = registry.gauge(
    "nt_ingest_leases", "Symbols of exchanges without update numbers that this ingest writes; others stand by for them"
)
takeovers = registry.counter(
    "nt_ingest_takeovers", "How often this ingest began to write a symbol of an exchange without update numbers"
)
fenced = registry.counter(
    "nt_ingest_fenced",
    "Batches that Redis refused because another ingest writes the symbol, or because it lost its data",
)
append_latency = registry.histogram(
    "nt_ingest_append_ms",
    "Time from sending a batch to Redis until the last reply",
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000),
)
snapshots = registry.counter("nt_ingest_snapshots", "Order-book snapshots written, by reason", reason=SnapshotReason)
redis_connects = registry.counter("nt_ingest_redis_connects", "Connections made to Redis")
