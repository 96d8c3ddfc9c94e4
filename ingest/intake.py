"""From raw messages to what is known to be true: decodes, keeps the books, and asks for snapshots."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from ingest.book_refresh import Refreshed
from ingest.book_sync import BookSync
from ingest.clock_skew import ClockSkew
from ingest.events import (
    BookSnapshot,
    ControlReply,
    Depth,
    Diff,
    Event,
    Notice,
    Refused,
    Rejected,
    Rules,
    Shutdown,
    SymbolRules,
    Ticker,
    Trade,
    Unfollowed,
)
from ingest.feed import Feed
from ingest.leased_writer import LeasedWriter
from ingest.pacing import LogLimit
from ingest.rest import Priority
from ingest.venue import LibraryVenue, Venue
from ingest.writer import Writer
from tickfence.analytics.market import DEPTH_LEVELS
from tickfence.instrument import Instrument
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.monitoring.ingest_metrics import Refusal, Resync

logger = logging.getLogger(__name__)

REFRESH_EVERY_S, URGENT_REFRESH_EVERY_S = 5.0, 0.5
"""Least time between two fresh snapshots of one book; the second while it cannot fill a report."""

SHOWN_DIFFERENCES = 5

MAX_AHEAD_MS = 10 * 60 * 1000
"""How far the exchange's clock may be ahead of Redis's and of this host's. Ids must rise, so a time far in the future would
stop the stream."""


DISPROVED = (Refusal.CHECKSUM, Refusal.CROSSED_BOOK)
"""An update that is refused for one of these shows that the book may have been wrong before it, too."""


def unknown(diff: Diff) -> Diff:
    """An update of which nothing is known but when it was. It connects to no book: readers wait for the next snapshot."""
    return Diff(diff.symbol, diff.time_ms, diff.last_update_id + 1, diff.last_update_id, [], [])


def host_ms() -> int:
    """This host's time."""
    return round(time.time() * 1000)


class Intake:
    """Takes one exchange's messages one by one, and passes what is true to the writer.

    No message does harm. If it must not be used, it is refused: counted by reason, and logged at most every few
    seconds; if a book may be affected, that book is loaded again.

    Args:
        venue: decodes the messages; or gives events by itself, to `on_events`.
        books: the book of every symbol that is followed. It may change; call `forget` for a symbol that is taken out.
        writer: gets what is true.
        now_ms: the Redis server's time.
        host_ms: this host's time: a clock of Redis that is an hour behind is no reason to refuse what the exchange says.
        want_depth: asks for a symbol's snapshot; called as long as its book needs one.
        on_synced: learns of each lost book that is in sync again.
        on_rules: takes the exchange's rules of a symbol, if they come by stream.
    """

    def __init__(
        self,
        venue: Venue | LibraryVenue,
        books: Mapping[Instrument, BookSync],
        writer: Writer,
        *,
        now_ms: Callable[[], int],
        host_ms: Callable[[], int] = host_ms,
        want_depth: Callable[[Instrument, Priority], None],
        on_synced: Callable[[Instrument], None] = lambda _: None,
        on_rules: Callable[[Instrument, SymbolRules], None] = lambda *_: None,
    ) -> None:
        if isinstance(venue, Venue):
            self._decode, self._message_bytes = venue.decode, venue.limits.message_bytes
        self._venue = venue.name
        self._numbered = venue.numbered
        self._on_synced, self._on_rules = on_synced, on_rules
        self._now_ms, self._host_ms = now_ms, host_ms
        self._want_depth = want_depth
        self._books = books
        self._writer = writer
        self._leased = None if venue.numbered else LeasedWriter(writer)
        self._entries = self._leased or writer
        self._lost_at: dict[Instrument, float] = {}
        self._refreshed_at: dict[Instrument, float] = {}
        self._logs = LogLimit()
        self._notice = ""
        self._skew = ClockSkew(venue.name)
        self._messages = self._diffs = self._trades = self._tickers = 0

    def on_open(self, feed: Feed) -> None:
        """Load the books of a connection that has opened, also those in which nothing happens."""
        for symbol in feed.symbols:
            self._ask(self._books[symbol])

    def on_lost(self, feed: Feed) -> None:
        """Note that a connection has ended before there was another one, or that nothing shows what both delivered."""
        self.on_trades_lost(feed.symbols)
        if not self._numbered:
            self.on_books_lost(feed.symbols)

    def on_trades_lost(self, symbols: Iterable[Instrument]) -> None:
        """Note that trades of these symbols may have been missed."""
        self._writer.on_connection_lost(symbols)

    def on_books_lost(self, symbols: Iterable[Instrument], why: str = Resync.DISCONNECTED) -> None:
        """Note that updates of these order books may have been missed."""
        for symbol in symbols:
            self._books[symbol].lose(why)
            self._ask(self._books[symbol])

    def on_message(self, feed: Feed, message: bytes) -> None:
        """Take one message."""
        self._messages += 1
        try:
            if len(message) > self._message_bytes:
                raise Rejected(Refusal.OVERSIZED, f"{len(message)} bytes")
            events = self._decode(message)
        except Unfollowed:
            return
        except Rejected as error:
            self._reject(error)
            if error.reason is Refusal.OVERSIZED and not self._numbered:  # nothing else shows what was in it
                self.on_books_lost(feed.symbols, error.reason)
            return
        self._on_events(events, feed)

    def on_events(self, events: Sequence[Event]) -> None:
        """Take what a library has read."""
        self._messages += 1
        self._on_events(events, None)

    def _on_events(self, events: Sequence[Event], feed: Feed | None) -> None:
        for event in events:
            try:
                if type(event) is Diff:
                    self._on_diff(event)
                elif type(event) is Trade:
                    self._on_trade(event)
                elif type(event) is Ticker:
                    self._tickers += 1
                    self._writer.set_ticker(event)
                else:
                    self._on_seldom(feed, event)
            except Rejected as error:
                self._reject(error)

    def _on_seldom(self, feed: Feed | None, event: Event) -> None:
        if type(event) is BookSnapshot:
            self._on_snapshot(event)
        elif type(event) is ControlReply:
            if feed is not None and (refused := feed.on_reply(event)):
                self.on_trades_lost(refused)
                self.on_books_lost(refused, Resync.REFUSED)
        elif type(event) is Rules:
            self._on_rules(event.symbol, event.rules)
        elif type(event) is Refused:
            raise event.error
        elif type(event) is Shutdown:
            if feed is not None:
                feed.replace(metrics.Reconnect.SHUTDOWN)
        elif type(event) is Notice and event.text != self._notice:
            self._notice = event.text
            logger.warning("a notice of the exchange", extra={"venue": self._venue, "notice": event.text})

    def count(self) -> None:
        """Add what came since the last call to the metrics: taking a counter's lock for every message costs too much."""
        metrics.ws_messages.labels(self._venue).inc(self._messages)
        metrics.events.labels(self._venue, metrics.EventKind.DIFF).inc(self._diffs)
        metrics.events.labels(self._venue, metrics.EventKind.TRADE).inc(self._trades)
        metrics.events.labels(self._venue, metrics.EventKind.TICKER).inc(self._tickers)
        self._messages = self._diffs = self._trades = self._tickers = 0
        self._skew.tell()

    def forget(self, symbol: Instrument) -> None:
        """Forget a symbol that is not followed any more."""
        self._lost_at.pop(symbol, None)
        self._refreshed_at.pop(symbol, None)

    def audit(self, symbol: Instrument) -> None:
        """Compare a book in sync with a fresh snapshot when there is weight to spare."""
        book = self._books[symbol]
        if book.in_sync and book.refresh is None:
            book.begin_refresh()
            self._want_depth(symbol, Priority.AUDIT)

    def on_depth(self, symbol: Instrument, depth: Depth | None) -> bool:
        """Take a snapshot, or ``None`` if it could not be loaded; return False if one is still needed."""
        book = self._books.get(symbol)
        if book is None:
            return True  # it is not followed any more
        if book.in_sync:
            return self._on_fresh_depth(book, depth)
        if depth is None:
            return False
        try:
            diffs = book.on_depth(depth, self._now_ms())
        except Rejected as error:
            self._reject(error)
            return False
        if diffs is None:
            return book.why is None
        self._synced(symbol)
        for diff, received_ms in diffs:
            self._entries.add_diff(diff, received_ms)
        return True

    def _on_snapshot(self, snapshot: BookSnapshot) -> None:
        """Take a snapshot from the stream."""
        book, received_ms = self._books[snapshot.symbol], self._now_ms()
        if snapshot.time_ms > received_ms + MAX_AHEAD_MS and self._far_ahead(snapshot):
            raise Rejected(Refusal.BAD_TIME, f"{snapshot.symbol} snapshot of {snapshot.time_ms}", snapshot.symbol)
        if book.on_snapshot(snapshot, received_ms):
            self._synced(snapshot.symbol)
            if self._leased is not None:
                self._leased.announce(book)

    def _synced(self, symbol: Instrument) -> None:
        self._on_synced(symbol)
        lost_at = self._lost_at.pop(symbol, None)
        if lost_at is not None:
            metrics.resync_latency.observe(time.monotonic() - lost_at)
        self._writer.want_snapshot(symbol, metrics.SnapshotReason.SYNC)

    def on_trades(self, symbol: Instrument, trades: Sequence[Trade]) -> None:
        """Take a page of the past trades that the writer has asked for; none end the answer."""
        received_ms = self._now_ms()
        if any(trade.time_ms > received_ms + MAX_AHEAD_MS and self._far_ahead(trade) for trade in trades):
            self._reject(Rejected(Refusal.BAD_TIME, f"{symbol} trades of the past"))
            trades = ()
        self._writer.add_fetched(symbol, trades, received_ms)

    def _on_trade(self, trade: Trade) -> None:
        received_ms = self._now_ms()
        if trade.time_ms > received_ms + MAX_AHEAD_MS and self._far_ahead(trade):
            raise Rejected(Refusal.BAD_TIME, f"{trade.symbol} T={trade.time_ms}")
        self._trades += 1
        self._entries.add_trade(trade, received_ms)

    def _on_diff(self, diff: Diff) -> None:
        received_ms = self._now_ms()
        if diff.time_ms > received_ms + MAX_AHEAD_MS and self._far_ahead(diff):
            raise Rejected(Refusal.BAD_TIME, f"{diff.symbol} E={diff.time_ms}", diff.symbol)
        self._diffs += 1
        self._skew.observe(received_ms - diff.time_ms)
        book = self._books[diff.symbol]
        if not self._numbered:
            diff = book.number(diff)
        try:
            publish = book.on_diff(diff, received_ms)
        except Rejected as error:
            if error.reason in DISPROVED:
                self._entries.add_diff(unknown(diff), received_ms)
            raise
        finally:
            if book.why is not None:  # a call for each diff costs too much
                self._ask(book)
        if publish:
            self._entries.add_diff(diff, received_ms)
            if book.refresh is not None:
                self._finish_refresh(book)
            if book.book.near_horizon:
                self._refresh(book)
        elif book.why is None:
            metrics.duplicates.labels(metrics.Duplicate.FEED).inc()

    def _far_ahead(self, event: Trade | Diff | BookSnapshot) -> bool:
        """Whether an event that Redis's clock says is of the future is so by this host's clock as well."""
        return event.time_ms > self._host_ms() + MAX_AHEAD_MS

    def _refresh(self, book: BookSync) -> None:
        """Ask for a fresh snapshot of a book whose market comes near its horizon."""
        urgent = not book.book.knows(DEPTH_LEVELS)
        if book.refresh is None:
            every_s = URGENT_REFRESH_EVERY_S if urgent else REFRESH_EVERY_S
            if time.monotonic() < self._refreshed_at.get(book.symbol, -math.inf) + every_s:
                return
            book.begin_refresh()
        elif book.refresh.depth is not None:
            return  # it is here, and only ahead of the feed
        self._want_depth(book.symbol, Priority.GAP if urgent else Priority.REFRESH)

    def _on_fresh_depth(self, book: BookSync, depth: Depth | None) -> bool:
        if depth is not None and book.on_fresh_depth(depth):
            self._finish_refresh(book)
            return book.in_sync
        if book.refresh is not None and book.book.near_horizon:
            return False
        book.refresh = None  # an audit has time until its next turn
        return True

    def _finish_refresh(self, book: BookSync) -> None:
        """Adopt a fresh snapshot, once the feed has come to it."""
        try:
            refreshed = book.refreshed()
        except Rejected as error:
            self._reject(error)
            self._ask(book)
            return
        if refreshed is None:
            return
        symbol = book.symbol
        self._refreshed_at[symbol] = time.monotonic()
        metrics.book_audits.inc()
        if refreshed.wrong:
            metrics.book_audit_mismatch.inc()
            self._log_mismatch(symbol, refreshed)
            self._writer.want_snapshot(symbol, metrics.SnapshotReason.CORRECTED)
        elif refreshed.wider:
            self._writer.want_snapshot(symbol, metrics.SnapshotReason.REFRESHED)

    def _log_mismatch(self, symbol: Instrument, refreshed: Refreshed) -> None:
        if (held_back := self._logs.allows("mismatch")) is None:
            return
        shown = {
            side: [f"{each.price}: {each.quantity} here, {each.other} there" for each in found[:SHOWN_DIFFERENCES]]
            for side, found in (("bids", refreshed.bids), ("asks", refreshed.asks))
        }
        counts = {"levels": len(refreshed.bids) + len(refreshed.asks), "held_back": held_back}
        logger.warning("the order book differed from the exchange's", extra={"symbol": symbol, **counts, **shown})

    def _reject(self, error: Rejected) -> None:
        metrics.rejected.labels(self._venue, error.reason).inc()
        if (held_back := self._logs.allows(error.reason)) is not None:
            refused = {"venue": self._venue, "reason": error.reason, "error": str(error), "held_back": held_back}
            logger.warning("message refused", extra=refused)
        if error.book_symbol is not None:
            book = self._books[error.book_symbol]
            book.lose(error.reason)
            self._ask(book)

    def _ask(self, book: BookSync) -> None:
        """Ask for a snapshot if the book needs one."""
        if book.why is None:
            return
        symbol, starting = book.symbol, book.why == "start"
        if symbol not in self._lost_at:
            self._lost_at[symbol] = time.monotonic()
            if not starting:
                metrics.resyncs.labels(self._venue, book.why).inc()
                if (held_back := self._logs.allows(f"lost {book.why}")) is not None:
                    lost = {"symbol": symbol, "reason": book.why, "held_back": held_back}
                    logger.warning("order book out of sync", extra=lost)
        self._want_depth(symbol, Priority.START if starting else Priority.GAP)
