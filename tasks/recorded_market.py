"""What is recorded of one symbol, as replays look it up. Needs the extra ``recordings``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from operator import itemgetter
from typing import NamedTuple

import pyarrow as pa
from msgspec.structs import replace

from tasks.recorded_entries import SLICE_MS, Id, Recorded, RecordedDiffs, RecordedTrades, values
from tickfence.analytics import basis as bases
from tickfence.analytics.basis import Basis, Inputs
from tickfence.analytics.book import BookGap, OrderBook
from tickfence.analytics.extensions import without_extensions
from tickfence.analytics.trade_window import KEEP_MS
from tickfence.instrument import Instrument
from tickfence.recordings import rows
from tickfence.recordings.kinds import Kind
from tickfence.recordings.layout import DAY_MS
from tickfence.streams.codec import NO_ENTRY, Snapshot, SymbolInfo, Ticker, split_id

LEAD_MS = 65 * 60_000
"""How far back a replay looks for what it starts from: carries are recorded at least once an hour."""

POLLED_MS = 10_000
"""Within this time of being in use, a value that is polled was recorded."""

_HOUR_MS = 3_600_000
_CARRY_HOURS = 6
SNAPSHOT_MS = 10 * 60_000
"""How far back a snapshot may be that a replay starts from: the diffs since are applied."""


class Carried(NamedTuple):
    """Recorded bytes of an owner.

    Attributes:
        time_ms: when they were read.
        data: the bytes.
    """

    time_ms: int
    data: bytes


class RecordedMarket:
    """One symbol's recorded data of a time, and of the time before it that a replay needs.

    Args:
        recording: where it comes from.
        symbol: whose data.
        from_ms, to_ms: the time, on the Redis server's clock.

    Attributes:
        trades, diffs: the entries of its streams.
    """

    def __init__(self, recording: Recorded, symbol: Instrument, from_ms: int, to_ms: int) -> None:
        self._recording, self._symbol = recording, symbol
        self._from_ms, self._to_ms = from_ms - LEAD_MS, to_ms
        self._snapshot_slices: dict[int, tuple[pa.Table, list[tuple[int, int]]]] = {}
        self._carries: dict[int, list[Carried]] = {}
        self._span_of_bases = recording.span(Kind.BASES, symbol)
        first = next((found for found in self._hours_of_bases() if found), [])
        read = [bases.decode(data).inputs for _, data in first]
        read_ms = [split_id(text)[0] for each in read for text in (each.trades_id, each.book_id) if text != NO_ENTRY]
        oldest_ms = max(self._from_ms, min(read_ms, default=0)) - 2 * KEEP_MS
        self.trades = RecordedTrades(recording, symbol, oldest_ms)
        self.diffs = RecordedDiffs(recording, symbol, oldest_ms)

    def _table(self, kind: Kind, from_ms: int, to_ms: int) -> pa.Table:
        return self._recording.table(kind, [self._symbol], from_ms, to_ms)

    def _stored(self, kind: Kind, from_ms: int, to_ms: int) -> list[Carried]:
        table = self._table(kind, from_ms, to_ms)
        return sorted(map(Carried, values(table, "time_ms"), values(table, "data")))

    def bases(self) -> Iterator[Basis]:
        """What reports were made from, those of the time before included, in the order of their writing.

        They are read hour by hour, and no more than two hours are held: a clock that was set back puts one that was
        written later into an hour before.
        """
        waiting: list[tuple[Id, bytes]] = []
        newest = -1, 0
        for found in self._hours_of_bases():
            waiting = sorted(waiting + found)
            ready = bisect_right(waiting, newest, key=itemgetter(0))
            yield from (bases.decode(data) for _, data in waiting[:ready])
            waiting, newest = waiting[ready:], max((one for one, _ in found), default=newest)
        yield from (bases.decode(data) for _, data in waiting)

    def _hours_of_bases(self) -> Iterator[list[tuple[Id, bytes]]]:
        """The encoded bases of each hour with their ids; none in an hour without."""
        if self._span_of_bases is None:
            return
        first_ms, last_ms = self._span_of_bases
        first_ms, end_ms = max(self._from_ms, first_ms), min(self._to_ms, last_ms + 1)
        for hour_ms in range(first_ms // _HOUR_MS * _HOUR_MS, end_ms, _HOUR_MS):
            table = self._table(Kind.BASES, max(first_ms, hour_ms), min(end_ms, hour_ms + _HOUR_MS))
            yield list(zip(map(split_id, values(table, "stream_id")), values(table, "data"), strict=True))

    def snapshot(self, last_update_id: int, taken_ms: int) -> Snapshot | None:
        """The snapshot with this id that was taken at this time; ``None`` where it is not recorded."""
        table, known = self._snapshots(taken_ms // SLICE_MS)
        wanted = last_update_id, taken_ms
        return next((_snapshot(table, row) for row, each in enumerate(known) if each == wanted), None)

    def remade(
        self, last_update_id: int, taken_ms: int, lowest_bid: float | None, highest_ask: float | None
    ) -> Snapshot | None:
        """A snapshot that is not recorded, from an earlier one and the diffs since; ``None`` where they are not recorded.

        Args:
            last_update_id, taken_ms: of the snapshot.
            lowest_bid, highest_ask: how far it must reach.
        """
        for earlier in self.snapshots_before(last_update_id, taken_ms):
            if not reaches(earlier, lowest_bid, highest_ask):
                continue
            book = OrderBook()
            horizon = earlier.lowest_bid, earlier.highest_ask
            book.load(earlier.last_update_id, earlier.bids, earlier.asks, *horizon, earlier.told)
            with suppress(BookGap):
                for diff in self.diffs.between(split_id(earlier.stream_id), (taken_ms + POLLED_MS, 0)):
                    if diff.last_update_id <= last_update_id:
                        book.apply(diff.first_update_id, diff.last_update_id, diff.bids, diff.asks)
            if book.last_update_id != last_update_id:
                return None
            bids, asks = book.levels()
            return Snapshot(
                last_update_id=last_update_id,
                stream_id=earlier.stream_id,
                bids=bids,
                asks=asks,
                lowest_bid=lowest_bid,
                highest_ask=highest_ask,
                told=earlier.told,
                time=taken_ms,
            )
        return None

    def snapshots_before(self, last_update_id: int, at_ms: int) -> Iterator[Snapshot]:
        """Snapshots of at most this update id that were taken in the ten minutes up to ``at_ms``, newest first."""
        for number in range(at_ms // SLICE_MS, (at_ms - SNAPSHOT_MS) // SLICE_MS - 1, -1):
            table, known = self._snapshots(number)
            for row in range(len(known) - 1, -1, -1):
                if known[row][0] <= last_update_id and at_ms - SNAPSHOT_MS < known[row][1] <= at_ms:
                    yield _snapshot(table, row)

    def near(self, inputs: Inputs, at_ms: int) -> Snapshot | None:
        """The newest snapshot before ``at_ms`` that knows as much as a book did, cut to that; else the newest one.

        Args:
            inputs: tell what the book knew.
            at_ms: the time.
        """
        lowest, highest = inputs.lowest_bid, inputs.highest_ask
        newest = None
        for each in self.snapshots_before(split_id(inputs.book_id)[1], at_ms):
            newest = newest or each
            if each.told is not None:
                return each
            if reaches(each, lowest, highest):
                return replace(each, lowest_bid=lowest, highest_ask=highest)
        return newest

    def _snapshots(self, number: int) -> tuple[pa.Table, list[tuple[int, int]]]:
        """The snapshots of a slice, and the update id and time of each; of two slices they are kept."""
        if number not in self._snapshot_slices:
            table = self._table(Kind.SNAPSHOTS, number * SLICE_MS, (number + 1) * SLICE_MS)
            known = list(zip(values(table, "last_update_id"), values(table, "time_ms"), strict=True))
            self._snapshot_slices[number] = table, known
            if len(self._snapshot_slices) > 2:
                del self._snapshot_slices[next(iter(self._snapshot_slices))]
        return self._snapshot_slices[number]

    def sections(self, digest: bytes, at_ms: int) -> bytes | None:
        """The slow sections with this digest that were in use at ``at_ms``; ``None`` where they are not recorded."""
        found = self._stored(Kind.SECTIONS, at_ms - 6 * POLLED_MS, at_ms + POLLED_MS)
        cores = (without_extensions(each.data) for each in reversed(found))
        return next((core for core in cores if bases.digest(core) == digest), None)

    def carry(self, digest: bytes, at_ms: int) -> bytes | None:
        """The carry with this digest that an owner took over at ``at_ms``; ``None`` where it is not recorded."""
        found = self._carries_between(at_ms - LEAD_MS, at_ms + LEAD_MS)  # the clock may have been set back by an hour
        return next((each.data for each in reversed(found) if bases.digest(each.data) == digest), None)

    def carry_before(self, after_ms: int, until_ms: int) -> Carried | None:
        """The newest carry with after_ms < time <= until_ms."""
        found = self._carries_between(after_ms, until_ms)
        return found[-1] if found else None

    def _carries_between(self, after_ms: int, until_ms: int) -> list[Carried]:
        """What owners left for the next one, oldest first. Of a few hours it is kept."""
        found: list[Carried] = []
        for hour in range(after_ms // _HOUR_MS, until_ms // _HOUR_MS + 1):
            if hour not in self._carries:
                self._carries[hour] = self._stored(Kind.CARRIES, hour * _HOUR_MS, (hour + 1) * _HOUR_MS)
                if len(self._carries) > _CARRY_HOURS:
                    del self._carries[next(iter(self._carries))]
            found += self._carries[hour]
        return [each for each in found if after_ms < each.time_ms <= until_ms]

    def tickers(self) -> list[Ticker]:
        """The 24 h statistics, oldest first."""
        return rows.tickers(self._table(Kind.TICKERS, self._from_ms, self._to_ms))

    def infos(self) -> list[tuple[int, SymbolInfo]]:
        """The exchange's rules with the time at which they were read, oldest first."""
        return rows.infos(self._table(Kind.INFOS, self._from_ms - DAY_MS, self._to_ms))


def reaches(snapshot: Snapshot, lowest_bid: float | None, highest_ask: float | None) -> bool:
    """Whether a snapshot knows all levels of each side up to these prices; all there are where a price is ``None``.

    Where the exchange tells every change of the best levels, the diffs lead to what was known.
    """
    if snapshot.told is not None:
        return True
    bids = snapshot.lowest_bid is None or (lowest_bid is not None and snapshot.lowest_bid <= lowest_bid)
    asks = snapshot.highest_ask is None or (highest_ask is not None and snapshot.highest_ask >= highest_ask)
    return bids and asks


def _snapshot(table: pa.Table, row: int) -> Snapshot:
    [one] = rows.snapshots(table.slice(row, 1))
    return one
