"""The columns of each kind. All times are ms since 1970, UTC."""

from __future__ import annotations

from functools import reduce

import pyarrow as pa
from pyarrow import compute as pc

from tickfence.recordings.kinds import Kind

VERSION = 1
"""Of the schemas, in each file's metadata."""

_TEXT, _INT, _FLOAT, _COUNT = pa.string(), pa.int64(), pa.float64(), pa.int32()
_SIDE = pa.list_(_FLOAT)
_LEVELS = {"bid_prices": _SIDE, "bid_quantities": _SIDE, "ask_prices": _SIDE, "ask_quantities": _SIDE}
_ROW = {"symbol": _TEXT, "time_ms": _INT}
_DATA = _ROW | {"data": pa.binary()}

SCHEMAS: dict[Kind, pa.Schema] = {
    kind: pa.schema(columns, metadata={"tickfence.kind": kind, "tickfence.version": str(VERSION)})
    for kind, columns in {
        Kind.TRADES: _ROW
        | {"trade_id": _INT, "price": _FLOAT, "quantity": _FLOAT, "is_buy": pa.bool_(), "received_ms": _INT}
        | {"id_count": _COUNT},
        Kind.DIFFS: _ROW
        | {"first_update_id": _INT, "last_update_id": _INT, **_LEVELS, "received_ms": _INT, "trades": pa.int8()},
        Kind.SNAPSHOTS: _ROW
        | {"last_update_id": _INT, "stream_id": _TEXT, **_LEVELS, "lowest_bid": _FLOAT, "highest_ask": _FLOAT}
        | {"told": _COUNT},
        Kind.TICKERS: _ROW | {"last": _FLOAT, "change_pct": _FLOAT, "high": _FLOAT, "low": _FLOAT, "volume": _FLOAT},
        Kind.INFOS: _ROW
        | {"tick_size": _FLOAT, "step_size": _FLOAT, "status": _TEXT, "book_from": _INT, "base": _TEXT, "quote": _TEXT},
        Kind.CARRIES: _DATA,
        Kind.SECTIONS: _DATA,
        Kind.HISTORY: _ROW
        | {
            "stream_id": _TEXT,
            "token": _INT,
            "mid_price": _FLOAT,
            "spread_bps": _FLOAT,
            "bid_qty": _FLOAT,
            "ask_qty": _FLOAT,
            "imbalance": _FLOAT,
            "orders_per_sec": _FLOAT,
            "net_flow": _FLOAT,
            "health": _FLOAT,
            "walls": _COUNT,
            "vacuums": _COUNT,
            "anomalies": _COUNT,
            "severity": _TEXT,
            "last_price": _FLOAT,
            "status": _TEXT,
        },
        Kind.BASES: _ROW | {"stream_id": _TEXT, "kind": _TEXT, "data": pa.binary()},
        Kind.EVENTS: {"time_ms": _INT, "id": _TEXT, "fields": _TEXT},
    }.items()
}

_NUMBER = {Kind.TRADES: "trade_id", Kind.DIFFS: "last_update_id", Kind.SNAPSHOTS: "last_update_id"}
_PLACE = {Kind.HISTORY: "stream_id", Kind.BASES: "stream_id", Kind.EVENTS: "id"}


def in_order(kind: Kind, table: pa.Table, *, once: bool = False) -> pa.Table:
    """Return the rows by symbol, and of a symbol in the order in which their stream had them.

    For trades and diffs that is (time, number), as in their stream ids. History, bases and events have ids that Redis
    gave: these grow even while its clock is set back. Rows with nothing to tell them apart keep their order.

    Args:
        kind: of the rows.
        table: the rows.
        once: leave out a row whose numbers or id are those of the one before. Two recorders may have written it, if
            Redis lost what the first one had noted.
    """
    keys = [table[name] for name in table.schema.names if name == "symbol"]
    place, number = _PLACE.get(kind), _NUMBER.get(kind)
    if place:
        halves = pc.split_pattern(table[place], "-")
        keys += [pc.cast(pc.list_element(halves, half), _INT) for half in (0, 1)]
    else:
        keys += [table[name] for name in ("time_ms", number) if name]
    named = pa.table(dict(zip("abcd", keys, strict=False)))
    order = pc.sort_indices(named, sort_keys=[(name, "ascending") for name in named.schema.names])
    if once and (place or number) and len(table) > 1:
        order = order.filter(_first(named.take(order)))
    return table.take(order)


def _first(keys: pa.Table) -> pa.ChunkedArray:
    """Whether a row differs from the one before."""
    differs = [pc.not_equal(column.slice(1), column.slice(0, len(keys) - 1)) for column in keys.columns]
    return pa.chunked_array([pa.array([True]), *reduce(pc.or_, differs).chunks])
