"""Values as rows of recordings, and back. Pure.

A row is a tuple in the order of its kind's columns: ``table(Kind.TRADES, [trade(symbol, entry), ...])``. The other way,
``trades(table)`` and its like take rows of one symbol, in the table's order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from tickfence.analytics.basis import Basis
from tickfence.analytics.basis import decode as decode_basis
from tickfence.analytics.history_row import FIELDS, HistoryRow
from tickfence.recordings.kinds import Kind
from tickfence.recordings.schemas import SCHEMAS
from tickfence.streams.codec import (
    TICKER_FIELDS,
    DiffEntry,
    Level,
    Snapshot,
    SymbolInfo,
    Ticker,
    TradeEntry,
    TradesUpTo,
)

Row = tuple[Any, ...]


def table(kind: Kind, rows: Iterable[Row]) -> pa.Table:
    """Return rows as a table with the kind's columns."""
    schema = SCHEMAS[kind]
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def trade(symbol: str, entry: TradeEntry) -> Row:
    """A row of :attr:`Kind.TRADES`."""
    return symbol, *entry


def diff(symbol: str, entry: DiffEntry) -> Row:
    """A row of :attr:`Kind.DIFFS`."""
    levels = *_columns(entry.bids), *_columns(entry.asks)
    ids = entry.time_ms, entry.first_update_id, entry.last_update_id
    return symbol, *ids, *levels, entry.received_ms, int(entry.trades)


def snapshot(symbol: str, book: Snapshot) -> Row:
    """A row of :attr:`Kind.SNAPSHOTS`."""
    levels = *_columns(book.bids), *_columns(book.asks)
    horizon = book.lowest_bid, book.highest_ask, book.told
    return symbol, book.time, book.last_update_id, book.stream_id, *levels, *horizon


def ticker(symbol: str, values: Ticker) -> Row:
    """A row of :attr:`Kind.TICKERS`."""
    return symbol, values.received_ms, *values[:-1]


def info(symbol: str, read_ms: int, rules: SymbolInfo) -> Row:
    """A row of :attr:`Kind.INFOS`.

    Args:
        symbol: whose rules they are.
        read_ms: when they were read.
        rules: what was read.
    """
    return symbol, read_ms, *rules


def data(symbol: str, read_ms: int, value: bytes) -> Row:
    """A row of :attr:`Kind.CARRIES` or :attr:`Kind.SECTIONS`: a key's value, and when it was read."""
    return symbol, read_ms, value


def history_row(symbol: str, stream_id: str, row: HistoryRow) -> Row:
    """A row of :attr:`Kind.HISTORY`.

    Args:
        symbol: whose report.
        stream_id: its place in its stream.
        row: what it holds.
    """
    time_ms, *values = (getattr(row, name) for name in FIELDS)
    return symbol, time_ms, stream_id, *values


def basis(symbol: str, stream_id: str, packed: bytes) -> Row:
    """A row of :attr:`Kind.BASES`.

    Args:
        symbol: whose report it is the basis of.
        stream_id: its place in its stream.
        packed: the basis as it stands there.

    Raises:
        ValueError: that is no basis.
    """
    found = decode_basis(packed)
    return symbol, found.at_ms, stream_id, str(found.kind), packed


def event(identity: str, fields: Mapping[str, str]) -> Row:
    """A row of :attr:`Kind.EVENTS`: an entry of ``nt:events``."""
    return int(identity.partition("-")[0]), identity, json.dumps(dict(fields), ensure_ascii=False)


def trades(rows: pa.Table) -> list[TradeEntry]:
    """Return what :func:`trade` made."""
    return [TradeEntry(*values) for values in _values(rows, Kind.TRADES)]


def diffs(rows: pa.Table) -> list[DiffEntry]:
    """Return what :func:`diff` made."""
    plain = _values(rows, Kind.DIFFS, "time_ms", "first_update_id", "last_update_id", "received_ms", "trades")
    return [
        DiffEntry(time_ms, first, last, bids, asks, received_ms, TradesUpTo(trades_up_to))
        for (time_ms, first, last, received_ms, trades_up_to), bids, asks in zip(
            plain, _levels(rows, "bid"), _levels(rows, "ask"), strict=True
        )
    ]


def snapshots(rows: pa.Table) -> list[Snapshot]:
    """Return what :func:`snapshot` made."""
    names = "time_ms", "last_update_id", "stream_id", "lowest_bid", "highest_ask", "told"
    return [
        Snapshot(
            last_update_id=last,
            stream_id=place,
            bids=bids,
            asks=asks,
            lowest_bid=lowest,
            highest_ask=highest,
            told=told,
            time=time_ms,
        )
        for (time_ms, last, place, lowest, highest, told), bids, asks in zip(
            _values(rows, Kind.SNAPSHOTS, *names), _levels(rows, "bid"), _levels(rows, "ask"), strict=True
        )
    ]


def tickers(rows: pa.Table) -> list[Ticker]:
    """Return what :func:`ticker` made."""
    names = *TICKER_FIELDS[:-1], "time_ms"
    return [Ticker(*values) for values in _values(rows, Kind.TICKERS, *names)]


def infos(rows: pa.Table) -> list[tuple[int, SymbolInfo]]:
    """Return what :func:`info` made: when it was read, and what was read."""
    return [(read_ms, SymbolInfo(*rules)) for read_ms, *rules in _values(rows, Kind.INFOS)]


def history(rows: pa.Table) -> list[HistoryRow]:
    """Return what :func:`history_row` made."""
    return [HistoryRow(**dict(zip(FIELDS, values, strict=True))) for values in _values(rows, Kind.HISTORY, *FIELDS)]


def bases(rows: pa.Table) -> list[Basis]:
    """Return what :func:`basis` made."""
    return [decode_basis(packed) for packed in rows["data"].to_pylist()]


def events(rows: pa.Table) -> list[tuple[str, dict[str, str]]]:
    """Return what :func:`event` made: id and fields."""
    return [(name, json.loads(fields)) for name, fields in _values(rows, Kind.EVENTS, "id", "fields")]


def _columns(levels: Iterable[Level]) -> tuple[list[float], list[float]]:
    prices, quantities = [], []
    for price, quantity in levels:
        prices.append(price)
        quantities.append(quantity)
    return prices, quantities


def _values(rows: pa.Table, kind: Kind, *names: str) -> Iterable[Row]:
    names = names or tuple(name for name in SCHEMAS[kind].names if name != "symbol")
    return zip(*(rows[name].to_pylist() for name in names), strict=True)


def _levels(rows: pa.Table, side: str) -> Iterable[list[Level]]:
    prices, quantities = rows[f"{side}_prices"], rows[f"{side}_quantities"]
    for some_prices, some_quantities in zip(prices.chunks, quantities.chunks, strict=True):
        levels = list(zip(some_prices.flatten().tolist(), some_quantities.flatten().tolist(), strict=True))
        start = 0
        for count in some_prices.value_lengths().tolist():
            yield levels[start : start + count]
            start += count
