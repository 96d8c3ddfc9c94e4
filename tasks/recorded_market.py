"""What is recorded of one symbol, as replays look it up. Needs the extra ``recordings``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import pyarrow as pa

from tasks.recorded_entries import Recorded, RecordedDiffs, RecordedTrades, values
from tickfence.analytics import basis as bases
from tickfence.analytics.basis import Basis
from tickfence.analytics.book import BookGap, OrderBook
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

_MINUTE_MS = 60_000
_SNAPSHOT_MINUTES = 10
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
        bases: what reports were made from, those of the time before included, in the order of their writing.
        trades, diffs: the entries of its streams.
        carries: what owners left for the next one, oldest first.
    """

    def __init__(self, recording: Recorded, symbol: Instrument, from_ms: int, to_ms: int) -> None:
        self._recording, self._symbol = recording, symbol
        self._from_ms, self._to_ms = from_ms - LEAD_MS, to_ms
        self._snapshot_tables: dict[int, pa.Table] = {}
        self.bases = self._bases()
        read = [each.inputs for each in self.bases]
        read_ms = [split_id(text)[0] for each in read for text in (each.trades_id, each.book_id) if text != NO_ENTRY]
        oldest_ms = max(self._from_ms, min(read_ms, default=0)) - 2 * KEEP_MS
        self.trades = RecordedTrades(recording, symbol, oldest_ms)
        self.diffs = RecordedDiffs(recording, symbol, oldest_ms)
        self.carries = self._stored(Kind.CARRIES, self._from_ms - POLLED_MS, to_ms + POLLED_MS)

    def _table(self, kind: Kind, from_ms: int, to_ms: int) -> pa.Table:
        return self._recording.table(kind, [self._symbol], from_ms, to_ms)

    def _stored(self, kind: Kind, from_ms: int, to_ms: int) -> list[Carried]:
        table = self._table(kind, from_ms, to_ms)
        return sorted(map(Carried, values(table, "time_ms"), values(table, "data")))

    def _bases(self) -> list[Basis]:
        table = self._table(Kind.BASES, self._from_ms, self._to_ms)
        ids = map(split_id, values(table, "stream_id"))
        return [bases.decode(data) for _, data in sorted(zip(ids, values(table, "data"), strict=True))]

    def snapshot(self, last_update_id: int, taken_ms: int) -> Snapshot | None:
        """The snapshot with this id that was taken at this time; ``None`` where it is not recorded."""
        table = self._snapshots(taken_ms // _MINUTE_MS)
        known = zip(values(table, "last_update_id"), values(table, "time_ms"), strict=True)
        return next(
            (_snapshot(table, row) for row, each in enumerate(known) if each == (last_update_id, taken_ms)), None
        )

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
        """Snapshots of at most this update id that were taken before ``at_ms``, newest first."""
        newest = at_ms // _MINUTE_MS
        for minute in range(newest, newest - _SNAPSHOT_MINUTES, -1):
            table = self._snapshots(minute)
            known = list(zip(values(table, "last_update_id"), values(table, "time_ms"), strict=True))
            for row in range(len(known) - 1, -1, -1):
                if known[row][0] <= last_update_id and known[row][1] <= at_ms:
                    yield _snapshot(table, row)

    def _snapshots(self, minute: int) -> pa.Table:
        """The snapshots of a minute; of a few minutes they are kept."""
        table = self._snapshot_tables.get(minute)
        if table is None:
            table = self._table(Kind.SNAPSHOTS, minute * _MINUTE_MS, (minute + 1) * _MINUTE_MS)
            self._snapshot_tables[minute] = table
            if len(self._snapshot_tables) > 2 * _SNAPSHOT_MINUTES:
                del self._snapshot_tables[next(iter(self._snapshot_tables))]
        return table

    def sections(self, digest: bytes, at_ms: int) -> bytes | None:
        """The slow sections with this digest that were in use at ``at_ms``; ``None`` where they are not recorded."""
        found = self._stored(Kind.SECTIONS, at_ms - 6 * POLLED_MS, at_ms + POLLED_MS)
        return next((each.data for each in reversed(found) if bases.digest(each.data) == digest), None)

    def carry(self, digest: bytes) -> bytes | None:
        """The carry with this digest; ``None`` where it is not recorded."""
        return next((each.data for each in reversed(self.carries) if bases.digest(each.data) == digest), None)

    def carry_before(self, after_ms: int, until_ms: int) -> Carried | None:
        """The newest carry with after_ms < time <= until_ms."""
        found = [each for each in self.carries if after_ms < each.time_ms <= until_ms]
        return found[-1] if found else None

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
