"""Entries of symbols that one process writes at a time, on their way to the writer."""

from __future__ import annotations

from ingest.book_sync import BookSync
from ingest.events import Diff, Trade
from ingest.holdback import Held
from ingest.writer import Writer
from tickfence.instrument import Instrument


class LeasedWriter:
    """Stands before the writer for a venue whose updates have no numbers.

    While this process has a symbol's lease, entries go to the writer. While it stands by, the book goes on, and trades that
    may not be in the stream are kept: the process begins with them when it gets the lease.

    Args:
        writer: of this process. It knows which symbols need a lease.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._leases = writer.leases
        self._leases.on_granted = self._begin

    def add_trade(self, trade: Trade, received_ms: int) -> None:
        """Append a trade, or keep it. See `Writer.add_trade`."""
        held = Held(trade, received_ms)
        self._leases.keep(held)
        if self._leases.may_write(trade.symbol):
            self._pass_on(held)

    def add_diff(self, diff: Diff, received_ms: int) -> None:
        """Append a diff, if its number is of this process's lease. See `Writer.add_diff`."""
        if self._leases.covers(diff):
            self._writer.add_diff(diff, received_ms)

    def announce(self, book: BookSync) -> None:
        """Append an update that changes nothing, so that readers notice that the book was replaced: it does not connect."""
        if book.in_sync and self._leases.may_write(book.symbol):
            self.add_diff(book.empty_diff(), book.received_ms)

    def _begin(self, symbol: Instrument, book: BookSync) -> None:
        self._writer.begin(symbol)
        self.announce(book)
        for held in list(self._leases[symbol].recent):
            self._pass_on(held)

    def _pass_on(self, held: Held) -> None:
        self._writer.add_trade(self._leases.numbered(held.trade), held.received_ms)
