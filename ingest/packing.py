"""Entries as commands: appended to their streams, which are trimmed once a second."""

from __future__ import annotations

from collections import defaultdict
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

_NO_HEAD = (0, False, False), b"", 0


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
        self._key_of = (streams.keys.trades, streams.keys.book)
        self._keep_ms = (KEEP_TRADES_MS, KEEP_BOOK_INTERVALS * streams.snapshot_interval_ms)
        self._fields = (append.TRADE_FIELDS, append.DIFF_FIELDS)
        self._leases = streams.leases
        # Most entries neither trim nor create their stream, so their commands begin alike.
        self._heads: tuple[dict[Instrument, bytes], dict[Instrument, bytes]] = ({}, {})
        # The same for calls: the head of a symbol's last one, and what it was made of; and how usual entries begin.
        self._call_heads: dict[Instrument, tuple[tuple[int, bool, bool], bytes, int]] = {}
        usual = append.xadd_options(None, create=False)
        self._usual_arguments = self._fenced(False, usual), self._fenced(True, usual)
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
        self._call_heads.pop(symbol, None)

    def pack(self, creating: Sequence[Entry], entries: Sequence[Entry]) -> bytes:
        """The commands for ``creating``, which may create their streams, and then for ``entries``."""
        parts = [part for entry in creating for part in (self._head(entry, create=True), entry.text)]
        heads = self._heads
        for entry in entries:
            state, text = entry.state, entry.text
            if text and state.acknowledged and entry.time_ms - state.trimmed_ms < TRIM_EVERY_MS:
                parts += (heads[entry.is_book][entry.symbol], text)
            else:  # without a stream there is nothing that could have been lost
                parts += (self._head(entry, create=state.acknowledged is None), text)
        return b"".join(parts)

    def calls(self, creating: Sequence[Entry], entries: Sequence[Entry], *, load: bool) -> list[Call]:
        """The same for entries of symbols that need a lease; those that got their ids under another token are left out.

        They are not lost: a writer begins with its whole book and with the trades that are not in the stream.

        Args:
            creating: may create their streams.
            entries: the others.
            load: send the script with each call.
        """
        of_symbol: defaultdict[Instrument, list[Entry]] = defaultdict(list)
        leases = self._leases
        for entry in creating:
            if 0 < entry.token == leases[entry.symbol].token:
                of_symbol[entry.symbol].append(entry)
        may_create = {symbol: len(group) for symbol, group in of_symbol.items()}
        for entry in entries:
            if 0 < entry.token == leases[entry.symbol].token:
                of_symbol[entry.symbol].append(entry)
        return [self._call(symbol, group, may_create.get(symbol, 0), load) for symbol, group in of_symbol.items()]

    def _call(self, symbol: Instrument, entries: Sequence[Entry], may_create: int, load: bool) -> Call:
        """One call for the entries of a symbol, of which the first ``may_create`` may create their streams."""
        token = entries[0].token
        head, count = self._call_head(symbol, token, load)
        parts = [b"", head]
        for number, entry in enumerate(entries):
            is_book, create = entry.is_book, number < may_create
            state = entry.state
            if not create and state.acknowledged and entry.time_ms - state.trimmed_ms < TRIM_EVERY_MS:
                arguments, more = self._usual_arguments[is_book]
            else:
                arguments, more = self._arguments(entry, create=create or state.acknowledged is None)
            parts += (arguments, entry.text)
            count += more
        parts[0] = b"*%d\r\n" % count
        return Call(symbol, token, entries, b"".join(parts))

    def _call_head(self, symbol: Instrument, token: int, load: bool) -> tuple[bytes, int]:
        """A call up to its entries, and how many arguments that is."""
        ready = self._leases.ready(symbol)
        of, head, count = self._call_heads.get(symbol, _NO_HEAD)
        if of != (token, ready, load):
            command = self._leases[symbol].fenced([key(symbol) for key in self._key_of], ready=ready)
            head, count = append.packed_arguments(with_source(command) if load else command), len(command)
            self._call_heads[symbol] = (token, ready, load), head, count
        return head, count

    def _arguments(self, entry: Entry, *, create: bool) -> tuple[bytes, int]:
        """An entry among the arguments of a call, up to its text, and how many arguments it is with its text."""
        return self._fenced(entry.is_book, append.xadd_options(self._keep_from_ms(entry), create))

    def _fenced(self, is_book: bool, options: Command) -> tuple[bytes, int]:
        more = 1 + 2 * self._fields[is_book]
        arguments = fenced_arguments(is_book, ("XADD", *options), more)
        return append.packed_arguments(arguments), len(arguments) + more

    def _head(self, entry: Entry, *, create: bool) -> bytes:
        """The command up to the entry's text."""
        key = self._key_of[entry.is_book](entry.symbol)
        if not entry.text:
            return append.pack([("DEL", key)])
        fields = self._fields[entry.is_book]
        return append.xadd_head(key, fields, keep_from_ms=self._keep_from_ms(entry), create=create)

    def _keep_from_ms(self, entry: Entry) -> int | None:
        """From which time on the stream is kept, if it is to be trimmed with this entry."""
        state = entry.state
        if entry.time_ms - state.trimmed_ms < TRIM_EVERY_MS:
            return None
        state.trimmed_ms = entry.time_ms
        return entry.time_ms - self._keep_ms[entry.is_book]
