"""A recorded market as a sequence of events, read minute by minute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tickfence.recordings import rows
from tickfence.recordings.kinds import Kind
from tickfence.recordings.recording import Recording
from tickfence.streams.codec import DiffEntry, Level, Snapshot, SymbolInfo, Ticker, TradeEntry
from tools.simulator.capture import BadCapture

MINUTE_MS = 60_000
_NEAR_MS = 10 * MINUTE_MS
"""How far from a moment a snapshot is looked for. Ingest writes one every few seconds."""

Value = TradeEntry | DiffEntry | Ticker | SymbolInfo


class Recorded(NamedTuple):
    """One event: when it happened, and what.

    Attributes:
        time_ms: of a trade or diff, the exchange's time; else when ingest received it.
        symbol: whose.
        value: what.
    """

    time_ms: int
    symbol: str
    value: Value


class Book:
    """An order book by price, as far as it was recorded; without an update id it is not known.

    Attributes:
        last_update_id: the last update it includes; 0 while it is not known.
        bids, asks: quantities by price.
        lost_until_ms: before this time there is no snapshot to load.
    """

    def __init__(self) -> None:
        self.last_update_id = 0
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.lost_until_ms = 0

    def load(self, snapshot: Snapshot | None, at_ms: int) -> None:
        """Take over a snapshot; without one, the book is not known for a while from a moment on."""
        if snapshot is None:
            self.last_update_id, self.lost_until_ms = 0, at_ms + _NEAR_MS
            return
        self.last_update_id = snapshot.last_update_id
        self.bids, self.asks = dict(snapshot.bids), dict(snapshot.asks)

    def misses(self, diff: DiffEntry) -> bool:
        """Whether a snapshot is needed, because a diff does not connect to the book."""
        connected = self.last_update_id and diff.first_update_id <= self.last_update_id + 1
        return not connected and diff.time_ms >= self.lost_until_ms

    def apply(self, diff: DiffEntry) -> None:
        """Apply a diff, unless the book includes it or is not known."""
        if not 0 < self.last_update_id < diff.last_update_id:
            return
        self.last_update_id = diff.last_update_id
        for side, levels in ((self.bids, diff.bids), (self.asks, diff.asks)):
            for price, quantity in levels:
                if quantity:
                    side[price] = quantity
                else:
                    side.pop(price, None)

    def best(self, limit: int) -> tuple[list[Level], list[Level]]:
        """The best levels of both sides, best first."""
        return sorted(self.bids.items(), reverse=True)[:limit], sorted(self.asks.items())[:limit]


class RecordedMarket:
    """The part of a recording that is replayed.

    Attributes:
        symbols: those with trades or diffs in it.
        from_ms: its first moment.
        to_ms: the moment after its last.
    """

    def __init__(self, recording: Recording, from_ms: int | None, to_ms: int | None) -> None:
        """Find the range of time that has trades or diffs.

        Raises:
            BadCapture: There are none.
        """
        self._recording = recording
        spans = [span for kind in (Kind.TRADES, Kind.DIFFS) if (span := recording.span(kind))]
        if not spans:
            raise BadCapture(f"{recording.store.root}: neither a capture nor a recording with trades or diffs")
        first, last = min(first for first, _ in spans), max(last for _, last in spans)
        self.from_ms = first if from_ms is None else max(first, from_ms)
        self.to_ms = last + 1 if to_ms is None else min(last + 1, to_ms)
        found = [recording.symbols(kind, self.from_ms, self.to_ms) for kind in (Kind.TRADES, Kind.DIFFS)]
        self.symbols: Sequence[str] = sorted({symbol for some in found for symbol in some})
        if not self.symbols:
            raise BadCapture(
                f"nothing was recorded in this range; there is data from {_shown(first)} to {_shown(last)}"
            )

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.to_ms - self.from_ms) / 1000

    def minutes(self) -> Iterator[tuple[int, int]]:
        """Ranges of time to read one after the other."""
        for start in range(self.from_ms, self.to_ms, MINUTE_MS):
            yield start, min(start + MINUTE_MS, self.to_ms)

    def events(self, from_ms: int, to_ms: int) -> list[Recorded]:
        """The events of a range. Of those with one time, trades come first: connected diffs prove that none is missing."""
        found = [
            *self._read(Kind.TRADES, rows.trades, from_ms, to_ms),
            *self._read(Kind.DIFFS, rows.diffs, from_ms, to_ms),
            *self._read(Kind.TICKERS, rows.tickers, from_ms, to_ms),
            *self._read(Kind.INFOS, _rules, from_ms, to_ms),
        ]
        return sorted(found, key=lambda event: event.time_ms)

    def book(self, symbol: str) -> Book:
        """The book at the start, or the first one that was recorded after it; empty if there is none near it."""
        book = Book()
        before = self._snapshots(symbol, self.from_ms - _NEAR_MS, self.from_ms)
        if not before:
            book.load(self.snapshot(symbol, self.from_ms, 0), self.from_ms)
            return book
        book.load(before[-1], self.from_ms)
        since = before[-1].time - MINUTE_MS
        for diff in rows.diffs(self._recording.table(Kind.DIFFS, [symbol], since, self.from_ms)):
            if book.misses(diff):
                book.load(self.snapshot(symbol, diff.time_ms, diff.last_update_id), diff.time_ms)
            book.apply(diff)
        return book

    def snapshot(self, symbol: str, at_ms: int, update_id: int) -> Snapshot | None:
        """The first snapshot from about a moment on that includes an update."""
        near = self._snapshots(symbol, at_ms - MINUTE_MS, at_ms + _NEAR_MS)
        return next((snapshot for snapshot in near if snapshot.last_update_id >= update_id), None)

    def info(self, symbol: str) -> SymbolInfo | None:
        """The symbol's rules at the start, or the first ones that were recorded after it."""
        before = self._recording.table(Kind.INFOS, [symbol], None, self.from_ms)
        found = rows.infos(before)[-1:] or rows.infos(self._recording.table(Kind.INFOS, [symbol], self.from_ms))[:1]
        return found[0][1] if found else None

    def _read(self, kind: Kind, decode: Any, from_ms: int, to_ms: int) -> Iterable[Recorded]:
        table = self._recording.table(kind, None, from_ms, to_ms)
        times, symbols = table["time_ms"].to_pylist(), table["symbol"].to_pylist()
        return map(Recorded, times, symbols, decode(table))

    def _snapshots(self, symbol: str, from_ms: int, to_ms: int) -> list[Snapshot]:
        return rows.snapshots(self._recording.table(Kind.SNAPSHOTS, [symbol], from_ms, to_ms))


def _rules(table: Any) -> list[SymbolInfo]:
    return [rules for _, rules in rows.infos(table)]


def _shown(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").removesuffix("+00:00")
