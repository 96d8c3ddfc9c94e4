"""What waits for one Redis server: entries in order, and the newest small values."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from ingest.buffer import Buffer, Entry
from ingest.events import SymbolRules, Ticker
from ingest.outbox import DeleteOutbox, HashOutbox, SnapshotOutbox
from ingest.pacing import LogLimit
from ingest.streams import Streams
from tickfence.instrument import Instrument
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.redis_access.command import Request

logger = logging.getLogger(__name__)

DELETE_AGAIN_S = 5.0


class Pending:
    """Data of some symbols that are not in Redis yet.

    The order of each stream is kept. When entries are dropped, the whole book is written again: readers see the gap in
    the update ids, and load that book.

    Args:
        streams: of these symbols, and of others too.
        now_ms: the Redis server's time.
        buffer_entries: entries kept while the server is away; beyond that the oldest are dropped.

    Attributes:
        work: set when there is something to send.
    """

    def __init__(self, streams: Streams, now_ms: Callable[[], int], buffer_entries: int) -> None:
        self.work = asyncio.Event()
        self._buffer = Buffer(buffer_entries)
        self._snapshots = SnapshotOutbox(streams)
        self._hashes = HashOutbox(streams, now_ms)
        self._deletes = DeleteOutbox(streams.keys)
        self._to_delete: dict[Instrument, Entry] = {}
        self._delete_at = 0.0
        self._logs = LogLimit()

    def __len__(self) -> int:
        """Number of entries that wait for the server."""
        return len(self._buffer)

    def add(self, entry: Entry) -> None:
        """Append an entry to its stream."""
        dropped = self._buffer.add(entry)
        if dropped is not None:
            self.drop([dropped], metrics.EntryLost.BUFFER_FULL)
        self.work.set()

    def want_snapshot(self, symbol: Instrument, reason: metrics.SnapshotReason) -> None:
        """Write the symbol's whole book with the next batch, if it is in sync then."""
        self._snapshots.want(symbol, reason)
        self.work.set()

    def set_ticker(self, ticker: Ticker) -> None:
        """Write the ticker within a second."""
        self._hashes.set_ticker(ticker)

    def set_info(self, symbol: Instrument, rules: SymbolRules) -> None:
        """Write the symbol's rules."""
        self._hashes.set_info(symbol, rules)
        self.work.set()

    def write_hashes_again(self, symbols: Collection[Instrument]) -> None:
        """Write the tickers and all of the info of these symbols again: Redis may have lost them."""
        self._hashes.write_again(symbols)
        self._snapshots.mark_again(symbols)
        self.work.set()

    def remove(self, symbol: Instrument) -> None:
        """Drop everything of a symbol that is not followed any more, and delete its keys. Call it while nothing is being sent."""
        self._buffer.remove(symbol)
        self._to_delete.pop(symbol, None)
        self._snapshots.forget(symbol)
        self._hashes.forget(symbol)
        self._deletes.want(symbol)
        self.work.set()

    def keep(self, symbol: Instrument) -> None:
        """Delete the keys of a symbol no more: it is followed again."""
        self._deletes.keep(symbol)

    def gone(self) -> list[Instrument]:
        """The removed symbols of which nothing is left in Redis, each once."""
        return self._deletes.gone()

    def requests(self) -> list[Request]:
        """Snapshots, tickers and rules that are due now, and keys that are to be deleted."""
        return self._deletes.requests() + self._snapshots.requests() + self._hashes.requests()

    def deletes(self) -> list[Entry]:
        """Streams that are due to be deleted, which was dropped or refused before.

        What such a stream got since goes too, so its book is written again.
        """
        if not self._to_delete or time.monotonic() < self._delete_at:
            return []
        due, self._to_delete = list(self._to_delete.values()), {}
        for entry in due:
            self._snapshots.want(entry.symbol, metrics.SnapshotReason.RENUMBERED)
        return due

    def take(self, count: int) -> list[Entry]:
        """Take out the next entries, ``count`` at most."""
        return self._buffer.take(count)

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Send these entries before all others."""
        self.drop(self._buffer.put_back(entries), metrics.EntryLost.BUFFER_FULL)

    def drop(self, entries: Sequence[Entry], reason: metrics.EntryLost) -> None:
        """Count entries that will never be written, and make sure that their readers can go on."""
        if not entries:
            return
        metrics.dropped.labels(reason).inc(len(entries))
        for entry in entries:
            if entry.is_book:
                self.want_snapshot(entry.symbol, metrics.SnapshotReason.DROPPED)
            if not entry.text:
                self._to_delete[entry.symbol] = entry
                if reason is metrics.EntryLost.REDIS_ERROR:
                    self._delete_at = time.monotonic() + DELETE_AGAIN_S
        if (held_back := self._logs.allows(reason)) is not None:
            counts = {"reason": reason, "entries": len(entries), "held_back": held_back}
            logger.error("entries dropped before they reached Redis", extra=counts)

    def hand_over(self, other: Mapping[Instrument, Pending]) -> None:
        """Let ``other[symbol]`` have everything of each symbol, in its order. Call it while nothing is being sent."""
        for entry in [*self._to_delete.values(), *self._buffer.take(len(self._buffer))]:
            other[entry.symbol].add(entry)
        for symbol, reason in self._snapshots.wanted():
            other[symbol].want_snapshot(symbol, reason)
        self._hashes.hand_over(lambda symbol: other[symbol]._hashes)
        for symbol in self._deletes.wanted():
            other[symbol]._deletes.want(symbol)
