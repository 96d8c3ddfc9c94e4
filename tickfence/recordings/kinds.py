"""What is recorded."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """A kind of recorded rows. Each has files of its own."""

    TRADES = "trades"
    DIFFS = "diffs"
    SNAPSHOTS = "snapshots"
    TICKERS = "tickers"
    INFOS = "infos"
    CARRIES = "carries"
    SECTIONS = "sections"
    HISTORY = "history"
    BASES = "bases"
    EVENTS = "events"


EVERY_VENUE = "all"
"""The venue of rows that belong to no symbol."""
