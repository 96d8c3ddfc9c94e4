"""Entries as commands: appended to their streams, which are trimmed once a second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ingest.buffer import Entry
from ingest.stream_state import Streams
from tickfence.instrument import Instrument
from tickfence.streams import append

KEEP_TRADES_MS = 31 * 60 * 1000
KEEP_BOOK_INTERVALS = 3
TRIM_EVERY_MS = 1_000


class EntryPacker:
    """Packs entries of some symbols for the wire.

    Args:
        symbols: whose entries may come at first.
        streams: of these symbols, and of others too.
    """

    def __init__(self, symbols: Iterable[Instrument], streams: Streams) -> None:
        # Each a pair, for `Entry.is_book` to choose from.
        self._states = (streams.trades, streams.diffs)
        self._key_of = (streams.keys.trades, streams.keys.book)
        self._keep_ms = (KEEP_TRADES_MS, KEEP_BOOK_INTERVALS * streams.snapshot_interval_ms)
        self._fields = (append.TRADE_FIELDS, append.DIFF_FIELDS)
        # Most entries neither trim nor create their stream, so their commands begin alike.
        self._heads: tuple[dict[Instrument, bytes], dict[Instrument, bytes]] = ({}, {})
        self.add(symbols)

    def add(self, symbols: Iterable[Instrument]) -> None:
        """Let entries of these symbols come, too."""
        for symbol in symbols:
            for heads, key, fields in zip(self._heads, self._key_of, self._fields, strict=True):
                heads[symbol] = append.xadd_head(key(symbol), fields, create=False)

    def remove(self, symbol: Instrument) -> None:
        """Forget a symbol of which no entry comes any more."""
        for heads in self._heads:
            heads.pop(symbol, None)

    def pack(self, creating: Sequence[Entry], entries: Sequence[Entry]) -> bytes:
        """The commands for ``creating``, which may create their streams, and then for ``entries``."""
        parts = [part for entry in creating for part in (self._head(entry, create=True), entry.text)]
        states, heads = self._states, self._heads
        for entry in entries:
            symbol, is_book = entry.symbol, entry.is_book
            state = states[is_book][symbol]
            if entry.text and state.acknowledged and entry.time_ms - state.trimmed_ms < TRIM_EVERY_MS:
                parts.append(heads[is_book][symbol])
            else:  # without a stream there is nothing that could have been lost
                parts.append(self._head(entry, create=state.acknowledged is None))
            parts.append(entry.text)
        return b"".join(parts)

    def _head(self, entry: Entry, *, create: bool) -> bytes:
        """The command up to the entry's text."""
        key, state = self._key_of[entry.is_book](entry.symbol), self._states[entry.is_book][entry.symbol]
        if not entry.text:
            return append.pack([("DEL", key)])
        keep_from_ms = None
        if entry.time_ms - state.trimmed_ms >= TRIM_EVERY_MS:
            state.trimmed_ms = entry.time_ms
            keep_from_ms = entry.time_ms - self._keep_ms[entry.is_book]
        return append.xadd_head(key, self._fields[entry.is_book], keep_from_ms=keep_from_ms, create=create)
