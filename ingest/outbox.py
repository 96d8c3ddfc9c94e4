"""Small values on their way to Redis, of which only the newest counts: snapshots, tickers, symbol rules.

They need no buffer. While Redis is away the newest replaces the one before, and a snapshot is only made when it is sent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from ingest.events import SymbolRules, Ticker
from ingest.streams import Streams
from tickfence.analytics.book import OrderBook
from tickfence.analytics.book_side import ALL_LEVELS, MAX_LEVELS
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.monitoring.ingest_metrics import SnapshotReason
from tickfence.redis_access.command import UNSENT, Request
from tickfence.redis_access.errors import ResponseError
from tickfence.streams import append
from tickfence.streams.codec import NO_ENTRY, Snapshot

BATCH_SNAPSHOTS = 20
PROTECT_INTERVALS = 3
"""A stored snapshot with a higher update id stays, unless it is older by more than this many snapshot intervals."""
TICKERS_EVERY_S = 1.0
DELETES, DELETE_AGAIN_S = 2, 2.0
"""How often the keys of a removed symbol are deleted, and the time between: an ingest follows within a second."""
REFUSED_AGAIN_S = 5.0
"""Redis is asked again after this long to take rules that it has refused."""


class SnapshotOutbox:
    """Whole books to be written, each made from the book as it is when its batch is sent.

    Some must replace what is stored, and what readers have. Such a book replaces one with a higher update id, and its own
    is written to the symbol's info as ``book_from``: readers who started from an older book load it. It is kept, to be
    written again where Redis has lost it.

    Args:
        streams: of these symbols, and of others too.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._wanted: dict[Instrument, SnapshotReason] = {}
        self._replacing: dict[Instrument, SnapshotReason] = {}
        self._book_from: dict[Instrument, int] = {}
        self._marks_due: set[Instrument] = set()
        self._marks_refused: set[Instrument] = set()

    def want(self, symbol: Instrument, reason: SnapshotReason) -> None:
        """Write this symbol's book with the next batch. With `RENUMBERED` or `CORRECTED` it must replace the others."""
        self._wanted.setdefault(symbol, reason)
        if reason in (SnapshotReason.RENUMBERED, SnapshotReason.CORRECTED):
            self._replacing[symbol] = reason

    def forget(self, symbol: Instrument) -> None:
        """Write nothing of a symbol that is not followed any more."""
        self._wanted.pop(symbol, None)
        self._replacing.pop(symbol, None)
        self._book_from.pop(symbol, None)

    def mark_again(self, symbols: Iterable[Instrument]) -> None:
        """Write ``book_from`` of these symbols with the next batch: Redis may have lost it.

        It may be lower than what another ingest has written. That is harmless after 2 s, when every node has read that.
        """
        self._marks_due.update(symbols)

    def wanted(self) -> list[tuple[Instrument, SnapshotReason]]:
        """Symbols whose books are still to be written, and why."""
        return list((self._wanted | self._replacing).items())

    def requests(self) -> list[Request]:
        """The next few snapshots; books that are not in sync are left out."""
        symbols = list(self._wanted)[:BATCH_SNAPSHOTS]
        requests = [request for symbol in symbols for request in self._requests(symbol, self._wanted.pop(symbol))]
        marks, self._marks_due = self._marks_due & self._book_from.keys(), set()
        return requests + [request for symbol in marks for request in self._mark(symbol)]

    def _requests(self, symbol: Instrument, reason: SnapshotReason) -> list[Request]:
        synced, state = self._streams.books.get(symbol), self._streams.diffs[symbol]
        if synced is None or not synced.in_sync or not self._streams.leases.may_write_book(symbol):
            return []
        book = synced.book
        includes_newest = 0 <= state.sequence <= book.last_update_id
        stream_id = f"{state.time_ms}-{state.sequence}" if includes_newest else NO_ENTRY
        snapshot = _snapshot(book, stream_id, synced.received_ms)
        replacing = self._replacing.pop(symbol, None)
        requests = self._put(symbol, snapshot, reason, replacing)
        if replacing is not None:
            self._book_from[symbol] = book.last_update_id
        if replacing is not None or symbol in self._marks_refused:
            self._marks_refused.discard(symbol)
            self._marks_due.add(symbol)
        return requests

    def _put(
        self, symbol: Instrument, snapshot: Snapshot, reason: SnapshotReason, replacing: SnapshotReason | None
    ) -> list[Request]:
        key, leases = self._streams.keys.snapshot(symbol), self._streams.leases

        def on_reply(reply: Any) -> None:
            self._on_reply(symbol, reason, replacing, reply)

        if symbol in leases:  # who has the lease has the newest book
            return leases.fence(symbol, append.set_snapshot(key, snapshot), on_reply)
        protect_ms = None if replacing else PROTECT_INTERVALS * self._streams.snapshot_interval_ms
        return [(append.put_snapshot(key, snapshot, protect_ms=protect_ms), on_reply)]

    def _mark(self, symbol: Instrument) -> list[Request]:
        command = append.set_hash(self._streams.keys.info(symbol), ("book_from", self._book_from[symbol]))
        return self._streams.leases.fence(symbol, command, lambda reply: self._on_marked(symbol, reply))

    def _on_marked(self, symbol: Instrument, reply: Any) -> None:
        if reply is UNSENT:
            self._marks_due.add(symbol)
        elif isinstance(reply, ResponseError):
            self._marks_refused.add(symbol)  # again with the next snapshot

    def _on_reply(
        self, symbol: Instrument, reason: SnapshotReason, replacing: SnapshotReason | None, reply: Any
    ) -> None:
        if replacing is not None and (reply is UNSENT or isinstance(reply, ResponseError)):
            self._replacing[symbol] = replacing
        if reply is UNSENT:
            self.want(symbol, reason)
        elif reply in (1, b"OK"):
            metrics.snapshots.labels(reason).inc()


def _snapshot(book: OrderBook, stream_id: str, received_ms: int) -> Snapshot:
    """The book as readers keep it: of a whole one, the best levels."""
    bids, asks = book.top(MAX_LEVELS)
    told, lowest_bid, highest_ask = book.bids.told, book.bids.horizon, book.asks.horizon
    if told == ALL_LEVELS:
        told = None
        lowest_bid = bids[-1][0] if len(bids) >= MAX_LEVELS else None
        highest_ask = asks[-1][0] if len(asks) >= MAX_LEVELS else None
    return Snapshot(
        last_update_id=book.last_update_id,
        stream_id=stream_id,
        bids=bids,
        asks=asks,
        lowest_bid=lowest_bid,
        highest_ask=highest_ask,
        told=told,
        time=received_ms,
    )


class DeleteOutbox:
    """All keys of symbols that are not followed any more, to be deleted, and again 2 s later.

    Another ingest may write them again until it follows the removal, too.

    Args:
        keys: every key of the deployment.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._left: dict[Instrument, int] = {}
        self._at: dict[Instrument, float] = {}

    def want(self, symbol: Instrument) -> None:
        """Delete this symbol's keys."""
        self._left[symbol], self._at[symbol] = DELETES, 0.0

    def keep(self, symbol: Instrument) -> None:
        """Delete them no more: the symbol is followed again."""
        self._left.pop(symbol, None)
        self._at.pop(symbol, None)

    def wanted(self) -> list[Instrument]:
        """Symbols whose keys are still to be deleted."""
        return [symbol for symbol, left in self._left.items() if left]

    def requests(self) -> list[Request]:
        """What is due now."""
        if not self._left:
            return []
        now = time.monotonic()
        due = [symbol for symbol, left in self._left.items() if left and self._at[symbol] <= now]
        return [self._delete(symbol) for symbol in due]

    def gone(self) -> list[Instrument]:
        """The symbols whose keys were all deleted, each once."""
        gone = [symbol for symbol, left in self._left.items() if not left]
        for symbol in gone:
            del self._left[symbol], self._at[symbol]
        return gone

    def _delete(self, symbol: Instrument) -> Request:
        self._at[symbol] = math.inf

        def on_reply(reply: Any) -> None:
            if symbol not in self._left:
                return
            failed = reply is UNSENT or isinstance(reply, ResponseError)
            self._left[symbol] -= not failed
            self._at[symbol] = 0.0 if reply is UNSENT else time.monotonic() + DELETE_AGAIN_S

        return ("DEL", *self._keys.market_data(symbol)), on_reply


class HashOutbox:
    """Tickers, written at most once a second, and symbol rules, written at once.

    It keeps the newest of each symbol, to write them again where Redis may have lost them, or where this process begins to
    write the symbol.

    Args:
        streams: of these symbols, and of others too.
        now_ms: the Redis server's time.
    """

    def __init__(self, streams: Streams, now_ms: Callable[[], int]) -> None:
        self._keys, self._leases = streams.keys, streams.leases
        self._now_ms = now_ms
        self._tickers: dict[Instrument, tuple[Ticker, int]] = {}
        self._rules: dict[Instrument, SymbolRules] = {}
        self._due_tickers: set[Instrument] = set()
        self._due_rules: set[Instrument] = set()
        self._tickers_at = self._rules_at = 0.0

    def set_ticker(self, ticker: Ticker) -> None:
        """Write a ticker that was received now, within a second."""
        self._tickers[ticker.symbol] = ticker, self._now_ms()
        self._due_tickers.add(ticker.symbol)

    def set_info(self, symbol: Instrument, rules: SymbolRules) -> None:
        """Write a symbol's rules with the next batch."""
        self._rules[symbol] = rules
        self._due_rules.add(symbol)

    def forget(self, symbol: Instrument) -> None:
        """Write nothing of a symbol that is not followed any more."""
        self._tickers.pop(symbol, None)
        self._rules.pop(symbol, None)
        self._due_tickers.discard(symbol)
        self._due_rules.discard(symbol)

    def write_again(self, symbols: Collection[Instrument]) -> None:
        """Write what is known of these symbols with the next batch: Redis may have lost it."""
        self._due_tickers.update(self._tickers.keys() & symbols)
        self._due_rules.update(self._rules.keys() & symbols)
        self._tickers_at = self._rules_at = 0.0

    def hand_over(self, other: Callable[[Instrument], HashOutbox]) -> None:
        """Let ``other(symbol)`` have everything of each symbol, and write it again: its server may be another."""
        for symbol, ticker in self._tickers.items():
            other(symbol)._tickers[symbol] = ticker
        for symbol, rules in self._rules.items():
            other(symbol)._rules[symbol] = rules
        for symbol in self._tickers.keys() | self._rules.keys():
            other(symbol).write_again({symbol})

    def requests(self) -> list[Request]:
        """What is due now."""
        now, due = time.monotonic(), list[Request]()
        if self._due_tickers and now >= self._tickers_at:
            self._tickers_at = now + TICKERS_EVERY_S
            for symbol in self._due_tickers:
                due += self._ticker(*self._tickers[symbol])
            self._due_tickers.clear()
        if self._due_rules and now >= self._rules_at:
            for symbol in self._due_rules:
                due += self._info(symbol, self._rules[symbol])
            self._due_rules.clear()
        return due

    def _ticker(self, ticker: Ticker, received_ms: int) -> list[Request]:
        prices = ("last", ticker.last, "change_pct", ticker.change_pct, "high", ticker.high, "low", ticker.low)
        values = (*prices, "volume", ticker.volume, "r", received_ms)
        command = append.set_hash(self._keys.ticker(ticker.symbol), values)
        return self._leases.fence(ticker.symbol, command, _ignore)

    def _info(self, symbol: Instrument, rules: SymbolRules) -> list[Request]:
        sizes = ("tick_size", rules.tick_size, "step_size", rules.step_size, "status", rules.status)
        values = (*sizes, "base", rules.base, "quote", rules.quote)

        def on_reply(reply: Any) -> None:
            if (reply is UNSENT or isinstance(reply, ResponseError)) and symbol in self._rules:
                self._due_rules.add(symbol)
            if isinstance(reply, ResponseError):
                self._rules_at = time.monotonic() + REFUSED_AGAIN_S

        return self._leases.fence(symbol, append.set_hash(self._keys.info(symbol), values), on_reply)


def _ignore(reply: Any) -> None:
    """Do nothing with the reply to a ticker: the next ticker comes within a second."""
