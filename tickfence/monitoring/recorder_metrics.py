"""Prometheus metrics of a recorder.

No metric has the symbol as a label, for the same reason as in node_metrics.
"""

from __future__ import annotations

from enum import StrEnum

from tickfence.monitoring.registry import RoleRegistry

registry = RoleRegistry()

_KINDS = (
    "bases",
    "carries",
    "diffs",
    "events",
    "history",
    "infos",
    "sections",
    "snapshots",
    "tickers",
    "trades",
)


class Failure(StrEnum):
    """What failed."""

    ENTRY = "entry"  # of a stream, or a value: it does not decode, and is left out of the files
    FILES = "files"  # Parquet files cannot be written; tried again
    LOG = "log"  # the write-ahead log cannot be written; tried again
    REDIS = "redis"  # cannot be reached; tried again
    RETENTION = "retention"  # old days of recordings cannot be deleted; tried again
    SOURCE = "source"  # a key of one symbol is not what it should be


class FileState(StrEnum):
    """Whether a file's hour is over."""

    CLOSED = "closed"
    OPEN = "open"


heartbeat = registry.gauge(
    "nt_recorder_heartbeat", "Unix time of this recorder's last round that Redis and the disk took"
)
symbols = registry.gauge("nt_recorder_symbols", "Symbols that this recorder records")
lag = registry.gauge(
    "nt_recorder_lag_seconds", "Time since the oldest of its symbols was read, synced to disk and noted; 0 without any"
)
wal_bytes = registry.gauge("nt_recorder_wal_bytes", "Bytes in the write-ahead log that are not in files yet")
taken = registry.counter("nt_recorder_leases_taken", "Symbols that this recorder has taken, also from another recorder")
refused = registry.counter(
    "nt_recorder_notes_refused",
    "Notes refused because another recorder has taken the symbol meanwhile, or Redis lost it",
)
rows = registry.counter("nt_recorder_rows", "Rows written to files, by kind", kind=_KINDS)
files = registry.counter("nt_recorder_files", "Files written, by whether their hour is over", state=FileState)
gaps = registry.counter(
    "nt_recorder_gaps",
    "Times when Redis had trimmed entries of a stream before a recorder read them, by what they were; they are not recorded",
    kind=("bases", "diffs", "events", "history", "trades"),
)
errors = registry.counter("nt_recorder_errors", "Failures, by what failed", operation=Failure)
