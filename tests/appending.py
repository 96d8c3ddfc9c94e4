"""Appends entries to the streams with the encoder of ingest."""

from __future__ import annotations

import redis

from tickfence.streams import append


def add(
    client: redis.Redis, key: str, packed: bytes, *, keep_from_ms: int | None = None, create: bool = True
) -> object:
    """Append what `append.packed_diff` or `append.packed_trade` returned; returns the reply of Redis or raises its error."""
    connection = client.connection_pool.get_connection()
    try:
        fields = append.DIFF_FIELDS if b"$1\r\nU\r\n" in packed else append.TRADE_FIELDS
        head = append.xadd_head(key, fields, keep_from_ms=keep_from_ms, create=create)
        connection.send_packed_command([head + packed])
        return connection.read_response()
    finally:
        client.connection_pool.release(connection)
