"""Ingests that share the symbols: each takes its own part of them."""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

from tickfence.instrument import Instrument


def of_shard(symbols: Iterable[Instrument], shard: str) -> tuple[Instrument, ...]:
    """The symbols of one ingest, in order.

    A symbol's part follows from its name alone, so adding and removing others moves none.

    Args:
        symbols: all of them.
        shard: ``NT_INGEST_SHARD``, like ``1/2``; empty: every symbol.

    Example:
        >>> symbols = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT"]
        >>> of_shard(symbols, "1/2"), of_shard(symbols, "2/2")
        (('ETHUSDT', 'BNBUSDT', 'SOLUSDT'), ('BTCUSDT',))
    """
    if not shard:
        return tuple(symbols)
    number, _, count = shard.partition("/")
    return tuple(symbol for symbol in symbols if crc32(symbol.encode()) % int(count) == int(number) - 1)
