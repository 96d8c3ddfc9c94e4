"""Appending to the streams: commands packed once, sent in batches, refused copies told apart.

Ids come from the exchange, so the same entry has the same id whoever appends it. Redis refuses
an id that is not above the stream's top; that is how the second of two ingest processes loses
the race for an entry, and no error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis.exceptions import ResponseError

from streams.keys import book_key, trades_key

Argument = str | int | bytes
Command = tuple[Argument, ...]

_REFUSED = "equal or smaller than the target stream top item"


def trade_command(
    symbol: str,
    *,
    time_ms: int,
    trade_id: int,
    price: str,
    quantity: str,
    is_buy: bool,
    received_ms: int,
    keep_from_ms: int | None = None,
) -> Command:
    """XADD of one trade; ``price`` and ``quantity`` are the exchange's decimal text.

    With ``keep_from_ms``, entries whose own time is older go, a whole radix-tree node at a time
    (``MINID ~``), so some older ones stay.
    """
    return (
        "XADD",
        trades_key(symbol),
        *_trim(keep_from_ms),
        f"{time_ms}-{trade_id}",
        "p",
        price,
        "q",
        quantity,
        "s",
        "b" if is_buy else "s",
        "r",
        received_ms,
    )


def diff_command(
    symbol: str,
    *,
    time_ms: int,
    first_update_id: int,
    last_update_id: int,
    bids: bytes,
    asks: bytes,
    received_ms: int,
    keep_from_ms: int | None = None,
) -> Command:
    """XADD of one order-book diff; ``bids`` and ``asks`` as `streams.codec.encode_levels` makes them.

    ``keep_from_ms`` as in `trade_command`.
    """
    return (
        "XADD",
        book_key(symbol),
        *_trim(keep_from_ms),
        f"{time_ms}-{last_update_id}",
        "U",
        first_update_id,
        "b",
        bids,
        "a",
        asks,
        "r",
        received_ms,
    )


def pack(commands: Sequence[Command]) -> bytes:
    """The commands as Redis reads them off the wire, ready to be sent at once."""
    return b"".join([pack_command(command) for command in commands])  # type: ignore[arg-type]  # its stub knows 1-tuples only


def refused(reply: Any) -> bool:
    """True when Redis refused an entry because the stream's top has its id or a higher one."""
    return isinstance(reply, ResponseError) and _REFUSED in str(reply)


def _trim(keep_from_ms: int | None) -> Command:
    return () if keep_from_ms is None else ("MINID", "~", keep_from_ms)
