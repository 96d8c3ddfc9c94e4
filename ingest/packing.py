"""Entries as commands: appended to their streams, which are trimmed once a second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ingest.buffer import Entry
from ingest.streams import Streams
from tickfence.coordination.standby_lease import fenced_arguments
from tickfence.instrument import Instrument
from tickfence.redis_access.command import Command
from tickfence.redis_access.errors import cannot_serve
from tickfence.redis_access.scripts import with_source
from tickfence.streams import append

KEEP_TRADES_MS = 31 * 60 * 1000
KEEP_BOOK_INTERVALS = 3
TRIM_EVERY_MS = 1_000


class Call(NamedTuple):
    """Entries of one symbol as one command, which appends them if this process has the symbol's lease.

    Attributes:
        symbol: the instrument.
        token: of the lease.
        entries: in their order.
        text: the command.
    """

    symbol: Instrument
    token: int
    entries: Sequence[Entry]
    text: bytes

    def check(self, reply: Any) -> None:
        """Raise an error within the reply that says that the server cannot serve now."""
        for each in reply if isinstance(reply, list) else ():
            if isinstance(each, Exception) and cannot_serve(each):
                raise each


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
        self._leases = streams.leases
        # Most entries neither trim nor create their stream, so their commands begin alike; within a call, those of all symbols.
        self._heads: tuple[dict[Instrument, bytes], dict[Instrument, bytes]] = ({}, {})
        self._heads_in_calls: dict[tuple[bool, bool], tuple[bytes, int]] = {}
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

    def calls(self, creating: Sequence[Entry], entries: Sequence[Entry], *, load: bool) -> list[Call]:
        """The same for entries of symbols that need a lease; those that got their ids under another token are left out.

        They are not lost: a writer begins with its whole book and with the trades that are not in the stream.

        Args:
            creating: may create their streams.
            entries: the others.
            load: send the script with each call.
        """
        of_symbol: dict[Instrument, list[tuple[Entry, bool]]] = {}
        for group, create in ((creating, True), (entries, False)):
            for entry in group:
                if 0 < entry.token == self._leases[entry.symbol].token:
                    of_symbol.setdefault(entry.symbol, []).append((entry, create))
        return [self._call(symbol, group, load) for symbol, group in of_symbol.items()]

    def _call(self, symbol: Instrument, entries: Sequence[tuple[Entry, bool]], load: bool) -> Call:
        lease, keys = self._leases[symbol], [key(symbol) for key in self._key_of]
        parts: list[bytes] = []
        count = 0
        for entry, create in entries:
            new = create or self._states[entry.is_book][symbol].acknowledged is None
            begin, arguments = self._head_in_call(entry.is_book, self._keep_from_ms(entry), new)
            parts += (begin, entry.text)
            count += arguments
        head: Command = lease.fenced(keys, ready=self._leases.ready(symbol))
        text = append.packed_head(with_source(head) if load else head, count) + b"".join(parts)
        return Call(symbol, lease.token, [entry for entry, _ in entries], text)

    def _head_in_call(self, is_book: bool, keep_from_ms: int | None, create: bool) -> tuple[bytes, int]:
        """What stands before an entry's text within a call, and how many arguments both are."""
        if keep_from_ms is None and (known := self._heads_in_calls.get((is_book, create))) is not None:
            return known
        more = 1 + 2 * self._fields[is_book]
        arguments = fenced_arguments(is_book, ("XADD", *append.xadd_options(keep_from_ms, create)), more)
        made = append.packed_arguments(arguments), len(arguments) + more
        if keep_from_ms is None:
            self._heads_in_calls[is_book, create] = made
        return made

    def _head(self, entry: Entry, *, create: bool) -> bytes:
        """The command up to the entry's text."""
        key = self._key_of[entry.is_book](entry.symbol)
        if not entry.text:
            return append.pack([("DEL", key)])
        fields = self._fields[entry.is_book]
        return append.xadd_head(key, fields, keep_from_ms=self._keep_from_ms(entry), create=create)

    def _keep_from_ms(self, entry: Entry) -> int | None:
        """From which time on the stream is kept, if it is to be trimmed with this entry."""
        state = self._states[entry.is_book][entry.symbol]
        if entry.time_ms - state.trimmed_ms < TRIM_EVERY_MS:
            return None
        state.trimmed_ms = entry.time_ms
        return entry.time_ms - self._keep_ms[entry.is_book]
