"""Rows to record."""

from __future__ import annotations

from tickfence.recordings import rows
from tickfence.recordings.kinds import Kind
from tickfence.recordings.store import Store
from tickfence.streams.codec import TradeEntry

HOUR = 1_764_151_200_000
"""10:00 UTC on 2025-11-26."""
MINUTE_MS = 60_000


def trade(at_ms: int, number: int, symbol: str = "BTCUSDT") -> rows.Row:
    return rows.trade(symbol, TradeEntry(at_ms, number, 67_000.1 + number, 0.25, number % 2 == 0, at_ms + 5))


def write_trades(store: Store, number: int, *written: rows.Row, writer: str = "r.1") -> None:
    store.write(rows.table(Kind.TRADES, written), Kind.TRADES, writer, number)
