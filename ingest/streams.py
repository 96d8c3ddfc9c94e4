"""The streams of every symbol, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ingest.book_sync import BookSync
from ingest.stream_state import StreamState
from ingest.writer_leases import WriterLeases
from tickfence.instrument import Instrument
from tickfence.keys import Keys


class Streams(NamedTuple):
    """The streams of every symbol, and what they hold.

    Attributes:
        keys: every key of the deployment.
        trades: the ids of each trades stream.
        diffs: the ids of each book stream.
        books: the order book that the diffs lead to.
        leases: of the symbols that one process writes at a time; the others may be written by all.
        snapshot_interval_ms: how often each book is written.
    """

    keys: Keys
    trades: Mapping[Instrument, StreamState]
    diffs: Mapping[Instrument, StreamState]
    books: Mapping[Instrument, BookSync]
    leases: WriterLeases
    snapshot_interval_ms: int
