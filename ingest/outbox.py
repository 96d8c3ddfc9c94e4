"""Small values on their way to Redis, of which only the newest counts: snapshots, tickers, symbol rules.

They need no buffer. While Redis is away the newest replaces the one before, and a snapshot is only made when it is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from ingest.events import SymbolRules, Ticker
from ingest.stream_state import Streams
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.monitoring.ingest_metrics import SnapshotReason
from tickfence.redis_access.command import Request
from tickfence.redis_access.errors import ResponseError
from tickfence.streams import append
from tickfence.streams.codec import NO_ENTRY, Snapshot

BATCH_SNAPSHOTS = 20
PROTECT_INTERVALS = 3
"""A stored snapshot with a higher update id stays, unless it is older by more than this many snapshot intervals."""
TICKERS_EVERY_S = 1.0
REFUSED_AGAIN_S = 5.0
"""Redis is asked again after this long to take rules that it has refused."""

UNSENT = object()
"""In place of a reply: the batch failed."""


class SnapshotOutbox:
    """Whole books to be written, each made from the book as it is when its batch is sent.

    Some must replace what is stored, and what readers have. Such a book replaces one with a higher update id, and its own
    is written to the symbol's info as ``book_from``: readers who started from an older book load it.

    Args:
        streams: of these symbols, and of others too.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._wanted: dict[Instrument, SnapshotReason] = {}
        self._replacing: dict[Instrument, SnapshotReason] = {}
        self._load_script = True

    def want(self, symbol: Instrument, reason: SnapshotReason) -> None:
        """Write this symbol's book with the next batch. With `RENUMBERED` or `CORRECTED` it must replace the others."""
        self._wanted.setdefault(symbol, reason)
        if reason in (SnapshotReason.RENUMBERED, SnapshotReason.CORRECTED):
            self._replacing[symbol] = reason

    def wanted(self) -> list[tuple[Instrument, SnapshotReason]]:
        """Symbols whose books are still to be written, and why."""
        return list((self._wanted | self._replacing).items())

    def requests(self) -> list[Request]:
        """The next few snapshots; books that are not in sync are left out."""
        symbols = list(self._wanted)[:BATCH_SNAPSHOTS]
        return [request for symbol in symbols for request in self._requests(symbol, self._wanted.pop(symbol))]

    def _requests(self, symbol: Instrument, reason: SnapshotReason) -> list[Request]:
        synced, state = self._streams.books[symbol], self._streams.diffs[symbol]
        if not synced.in_sync:
            return []
        book = synced.book
        bids, asks = book.levels()
        includes_newest = 0 <= state.sequence <= book.last_update_id
        stream_id = f"{state.time_ms}-{state.sequence}" if includes_newest else NO_ENTRY
        snapshot = Snapshot(
            last_update_id=book.last_update_id,
            stream_id=stream_id,
            bids=bids,
            asks=asks,
            lowest_bid=book.bids.horizon,
            highest_ask=book.asks.horizon,
            time=synced.received_ms,
        )
        replacing = self._replacing.pop(symbol, None)
        protect_ms = None if replacing else PROTECT_INTERVALS * self._streams.snapshot_interval_ms
        load, self._load_script = self._load_script, False
        command = append.put_snapshot(self._streams.keys.snapshot(symbol), snapshot, protect_ms=protect_ms, load=load)
        requests: list[Request] = [(command, lambda reply: self._on_reply(symbol, reason, replacing, reply))]
        if replacing is not None:
            book_from = append.set_hash(self._streams.keys.info(symbol), ("book_from", book.last_update_id))
            requests.append((book_from, lambda reply: self._on_book_from(symbol, replacing, reply)))
        return requests

    def _on_book_from(self, symbol: Instrument, replacing: SnapshotReason, reply: Any) -> None:
        if isinstance(reply, ResponseError):
            self._replacing[symbol] = replacing  # again with the next snapshot

    def _on_reply(
        self, symbol: Instrument, reason: SnapshotReason, replacing: SnapshotReason | None, reply: Any
    ) -> None:
        unsent = reply is UNSENT or append.unknown_script(reply)
        if replacing is not None and (unsent or isinstance(reply, ResponseError)):
            self._replacing[symbol] = replacing
        if unsent:
            self._load_script = True
            self.want(symbol, reason)
        elif reply == 1:
            metrics.snapshots.labels(reason).inc()


class HashOutbox:
    """Tickers, written at most once a second, and symbol rules, written at once.

    It keeps the newest of each symbol, to write them again where Redis may have lost them.

    Args:
        keys: every key of the deployment.
        now_ms: the Redis server's time.
    """

    def __init__(self, keys: Keys, now_ms: Callable[[], int]) -> None:
        self._keys = keys
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
            due += [self._ticker(*self._tickers[symbol]) for symbol in self._due_tickers]
            self._due_tickers.clear()
        if self._due_rules and now >= self._rules_at:
            due += [self._info(symbol, self._rules[symbol]) for symbol in self._due_rules]
            self._due_rules.clear()
        return due

    def _ticker(self, ticker: Ticker, received_ms: int) -> Request:
        prices = ("last", ticker.last, "change_pct", ticker.change_pct, "high", ticker.high, "low", ticker.low)
        values = (*prices, "volume", ticker.volume, "r", received_ms)
        return append.set_hash(self._keys.ticker(ticker.symbol), values), _ignore

    def _info(self, symbol: Instrument, rules: SymbolRules) -> Request:
        values = ("tick_size", rules.tick_size, "step_size", rules.step_size, "status", rules.status)

        def on_reply(reply: Any) -> None:
            if reply is UNSENT or isinstance(reply, ResponseError):
                self._due_rules.add(symbol)
            if isinstance(reply, ResponseError):
                self._rules_at = time.monotonic() + REFUSED_AGAIN_S

        return append.set_hash(self._keys.info(symbol), values), on_reply


def _ignore(reply: Any) -> None:
    """Do nothing with the reply to a ticker: the next ticker comes within a second."""
