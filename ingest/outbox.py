"""Small values on their way to Redis, of which only the newest counts: snapshots, tickers, infos.

They need no buffer: while Redis is away the newest replaces the one before, and a snapshot is
not even made before it is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from redis.exceptions import ResponseError

from ingest.events import SymbolRules, Ticker
from ingest.stream_state import StreamState
from tickfence.instrument import Instrument
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.streams import append
from tickfence.streams.append import Command
from tickfence.streams.codec import NO_ENTRY, Level, Snapshot

BATCH_SNAPSHOTS = 20
TICKERS_EVERY_S = 1.0

UNSENT = object()
"""In place of a reply: the batch failed."""

Sent = tuple[Command, Callable[[Any], None]]
"""A command, and what to do with its reply."""


class Levels(Protocol):
    """An order book as a snapshot shows it."""

    last_update_id: int

    def levels(self) -> tuple[list[Level], list[Level]]: ...


class Book(Protocol):
    """An order book that may be out of sync; ``received_ms`` is when its newest update was received."""

    @property
    def book(self) -> Levels: ...
    @property
    def in_sync(self) -> bool: ...
    @property
    def received_ms(self) -> int: ...


class SnapshotOutbox:
    """Whole books to be written, each made from the book as it is when its batch is sent.

    ``protect_ms``: a stored snapshot with a higher update id gives way only when it is this
    much older.
    """

    def __init__(
        self, books: Mapping[Instrument, Book], states: Mapping[Instrument, StreamState], protect_ms: int
    ) -> None:
        self._books = books
        self._states = states
        self._protect_ms = protect_ms
        self._wanted: dict[Instrument, str] = {}
        self._anew: set[Instrument] = set()
        self._load = True

    def __len__(self) -> int:
        return len(self._wanted)

    def want(self, symbol: Instrument, reason: str) -> None:
        """Write this symbol's book with the next batch. After reason "anew" its ids may be lower than the stored."""
        self._wanted.setdefault(symbol, reason)
        if reason == "anew":
            self._anew.add(symbol)

    def wanted(self) -> list[tuple[Instrument, str]]:
        """Symbols whose books are still to be written, and why."""
        return list((self._wanted | dict.fromkeys(self._anew, "anew")).items())

    def commands(self) -> list[Sent]:
        """The next few snapshots; a book that is not in sync is left out."""
        symbols = list(self._wanted)[:BATCH_SNAPSHOTS]
        return [sent for symbol in symbols if (sent := self._command(symbol, self._wanted.pop(symbol))) is not None]

    def _command(self, symbol: Instrument, reason: str) -> Sent | None:
        if not self._books[symbol].in_sync:
            return None
        book, time_ms = self._books[symbol].book, self._books[symbol].received_ms
        state = self._states[symbol]
        bids, asks = book.levels()
        includes_newest = 0 <= state.sequence <= book.last_update_id
        stream_id = f"{state.time_ms}-{state.sequence}" if includes_newest else NO_ENTRY
        snapshot = Snapshot(book.last_update_id, stream_id, bids, asks, time_ms)
        protect_ms = 0 if symbol in self._anew else self._protect_ms
        load, self._load = self._load, False
        command = append.put_snapshot(symbol, snapshot, protect_ms=protect_ms, load=load)
        return command, lambda reply: self._done(symbol, reason, reply)

    def _done(self, symbol: Instrument, reason: str, reply: Any) -> None:
        if reply is UNSENT or append.unknown_script(reply):
            self._load = True
            self.want(symbol, reason)
        elif not isinstance(reply, ResponseError):
            self._anew.discard(symbol)
            if reply == 1:
                metrics.snapshots.labels(reason).inc()


class HashOutbox:
    """Tickers, written at most once a second, and infos, written at once."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._tickers: dict[Instrument, Ticker] = {}
        self._infos: dict[Instrument, SymbolRules] = {}
        self._tickers_at = 0.0

    def __len__(self) -> int:
        return len(self._tickers) + len(self._infos)

    def set_ticker(self, ticker: Ticker) -> None:
        """Write this ticker within a second."""
        self._tickers[ticker.symbol] = ticker

    def set_info(self, symbol: Instrument, rules: SymbolRules) -> None:
        """Write these rules with the next batch."""
        self._infos[symbol] = rules

    def tickers(self) -> list[Ticker]:
        """Those that wait."""
        return list(self._tickers.values())

    def infos(self) -> list[tuple[Instrument, SymbolRules]]:
        """Those that wait."""
        return list(self._infos.items())

    def commands(self) -> list[Sent]:
        """What is due now."""
        sent: list[Sent] = []
        if self._tickers and time.monotonic() >= self._tickers_at:
            self._tickers_at = time.monotonic() + TICKERS_EVERY_S
            received_ms = self._now_ms()
            sent += [self._ticker(ticker, received_ms) for ticker in self._tickers.values()]
            self._tickers.clear()
        sent += [self._info(symbol, rules) for symbol, rules in self._infos.items()]
        self._infos.clear()
        return sent

    def _ticker(self, ticker: Ticker, received_ms: int) -> Sent:
        prices = ("last", ticker.last, "change_pct", ticker.change_pct, "high", ticker.high, "low", ticker.low)
        command = append.set_ticker(ticker.symbol, (*prices, "volume", ticker.volume, "r", received_ms))
        return command, _ignore

    def _info(self, symbol: Instrument, rules: SymbolRules) -> Sent:
        values = ("tick_size", rules.tick_size, "step_size", rules.step_size, "status", rules.status)

        def done(reply: Any) -> None:
            if reply is UNSENT:
                self._infos.setdefault(symbol, rules)

        return append.set_info(symbol, values), done


def _ignore(reply: Any) -> None:
    """What to do with the reply to a ticker: nothing."""
