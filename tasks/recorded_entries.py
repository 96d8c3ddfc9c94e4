"""Recorded trades and diffs of one symbol, as a node reads them from the streams. Needs the extra ``recordings``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import pyarrow as pa

from tickfence.instrument import Instrument
from tickfence.recordings.kinds import Kind
from tickfence.streams.codec import DiffEntry, Level, TradeEntry, TradesUpTo, split_id

SLICE_MS = 10 * 60_000
"""Exchange time of what is loaded at once."""

MAX_SLICES = 6
"""Slices that are kept: the 31 minutes that a cold start reads, and some more."""

Id = tuple[int, int]
"""The two parts of a stream's id: exchange time in ms, and the exchange's number."""

AnyEntry = TypeVar("AnyEntry", TradeEntry, DiffEntry)


class Recorded(Protocol):
    """Where recorded data comes from: :class:`tickfence.recordings.recording.Recording`, or tables in memory."""

    def table(
        self,
        kind: Kind,
        symbols: Sequence[Instrument] | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
    ) -> pa.Table:
        """The rows of ``kind`` with from_ms <= time_ms < to_ms, by symbol, then by id or time, each once."""

    def span(self, kind: Kind, symbol: Instrument) -> tuple[int, int] | None:
        """The times of the first and the last row, ms; ``None`` without rows."""


class Slice(NamedTuple, Generic[AnyEntry]):
    """Entries of :data:`SLICE_MS`, oldest first.

    Attributes:
        ids: of the entries.
        entries: the entries.
        received: the latest receive time up to each entry, ms.
    """

    ids: list[Id]
    entries: list[AnyEntry]
    received: list[int]


class RecordedEntries(ABC, Generic[AnyEntry]):
    """The entries of one recorded stream. Loads them in slices, and keeps the last ones.

    Args:
        recording: where they come from.
        symbol: whose stream.
        oldest_ms: entries before this time are never asked for.
    """

    kind: Kind

    def __init__(self, recording: Recorded, symbol: Instrument, oldest_ms: int) -> None:
        self._recording, self._symbol = recording, symbol
        self._oldest = max(0, oldest_ms), 0
        self._slices: OrderedDict[int, Slice[AnyEntry]] = OrderedDict()

    @abstractmethod
    def _decode(self, table: pa.Table) -> list[AnyEntry]:
        """The rows as entries."""

    @staticmethod
    @abstractmethod
    def entry_id(entry: AnyEntry) -> Id:
        """The id of an entry."""

    def between(self, after: Id, upto: Id) -> list[AnyEntry]:
        """The entries with after < id <= upto."""
        after = max(after, self._oldest)
        if upto <= after:
            return []
        found: list[AnyEntry] = []
        for number in range(after[0] // SLICE_MS, upto[0] // SLICE_MS + 1):
            ids, entries, _ = self._slice(number)
            first, last = bisect_right(ids, after), bisect_right(ids, upto)
            found += entries[first:last] if found or last - first < len(entries) else entries
        return found

    def received(self, after: Id, at_ms: int) -> list[AnyEntry]:
        """The entries behind ``after``, up to the first one that was received after ``at_ms``."""
        found: list[AnyEntry] = []
        after = max(after, self._oldest)
        number, last_slice = after[0] // SLICE_MS, at_ms // SLICE_MS + 1
        while number <= last_slice:
            ids, entries, received = self._slice(number)
            first, last = bisect_right(ids, after), bisect_right(received, at_ms)
            found += entries[first:last]
            if last < len(entries):
                break
            number += 1
        return found

    def newest(self, upto: Id, count: int, since_ms: int) -> list[AnyEntry]:
        """The newest ``count`` entries with an id of at most ``upto`` and a time of at least ``since_ms``."""
        found: list[AnyEntry] = []
        since_ms = max(since_ms, self._oldest[0])
        for number in range(upto[0] // SLICE_MS, since_ms // SLICE_MS - 1, -1):
            ids, entries, _ = self._slice(number)
            found = entries[bisect_left(ids, (since_ms, 0)) : bisect_right(ids, upto)] + found
            if len(found) >= count:
                break
        return found[-count:] if count > 0 else []

    def _slice(self, number: int) -> Slice[AnyEntry]:
        known = self._slices.get(number)
        if known is None:
            first_ms = number * SLICE_MS
            table = self._recording.table(self.kind, [self._symbol], first_ms, first_ms + SLICE_MS)
            entries = self._decode(table)
            received = list(accumulate((entry.received_ms for entry in entries), max))
            known = self._slices[number] = Slice([self.entry_id(entry) for entry in entries], entries, received)
            if len(self._slices) > MAX_SLICES:
                self._slices.popitem(last=False)
        self._slices.move_to_end(number)
        return known


class RecordedTrades(RecordedEntries[TradeEntry]):
    """Recorded trades."""

    kind = Kind.TRADES

    def _decode(self, table: pa.Table) -> list[TradeEntry]:
        names = ("time_ms", "trade_id", "price", "quantity", "is_buy", "received_ms", "id_count")
        return list(map(TradeEntry, *(values(table, name) for name in names)))

    @staticmethod
    def entry_id(entry: TradeEntry) -> Id:
        """The id of a trade."""
        return entry.time_ms, entry.trade_id


class RecordedDiffs(RecordedEntries[DiffEntry]):
    """Recorded book diffs."""

    kind = Kind.DIFFS

    def _decode(self, table: pa.Table) -> list[DiffEntry]:
        names = ("time_ms", "first_update_id", "last_update_id", "received_ms")
        times, firsts, lasts, received = (values(table, name) for name in names)
        bids, asks = (levels(table, f"{side}_prices", f"{side}_quantities") for side in ("bid", "ask"))
        known = list(TradesUpTo)
        trades = [known[number] for number in values(table, "trades")]
        return list(map(DiffEntry, times, firsts, lasts, bids, asks, received, trades))

    @staticmethod
    def entry_id(entry: DiffEntry) -> Id:
        """The id of a diff."""
        return entry.time_ms, entry.last_update_id


def values(table: pa.Table, name: str) -> list[Any]:
    """A column as a list. By way of NumPy, which is ten times faster where nothing is missing."""
    column = table.column(name)
    if column.null_count or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return list(column.to_pylist())
    return list(column.to_numpy().tolist())


def levels(table: pa.Table, prices: str, quantities: str) -> list[list[Level]]:
    """Two columns of lists as a list of (price, quantity) pairs a row."""
    columns = [table.column(name).combine_chunks() for name in (prices, quantities)]
    flat = (column.flatten().to_numpy(zero_copy_only=False).tolist() for column in columns)
    pairs = list(zip(*flat, strict=True))
    offsets = columns[0].offsets.to_numpy().tolist()
    begin = offsets[0]
    return [pairs[first - begin : last - begin] for first, last in pairwise(offsets)]


def id_text(entry_id: Id) -> str:
    """An id as Redis writes it."""
    return f"{entry_id[0]}-{entry_id[1]}"


def just_before(entry_id: Id) -> Id:
    """An id below this one, and not below any other one that is."""
    milliseconds, number = entry_id
    return (milliseconds, number - 1) if number else (milliseconds - 1, 2**63)


def just_before_id(entry_id: str | None) -> Id:
    """The same for the text of an id; above all ids where there is none."""
    return (2**63, 0) if entry_id is None else just_before(split_id(entry_id))
