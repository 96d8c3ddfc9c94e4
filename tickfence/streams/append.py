"""Appending to the streams: commands built and packed once, sent in batches, refused copies told apart.

Ids come from the exchange, so the same entry has the same id whoever appends it. Redis refuses
an id that is not above the stream's top; that is how the second of two ingest processes loses
the race for an entry, and no error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hiredis import pack_command
from redis.exceptions import NoScriptError, ResponseError

from tickfence.instrument import Instrument
from tickfence.streams.codec import Level, Snapshot, encode_levels, encode_snapshot
from tickfence.streams.keys import info_key, snapshot_key, ticker_key

Argument = str | int | bytes
Command = tuple[Argument, ...]

_PACKED_ARGUMENTS = 9
"""An id, and four fields with their values."""

_REFUSED = "equal or smaller than the target stream top item"
_PUT_SNAPSHOT = (Path(__file__).parent / "lua" / "put_snapshot.lua").read_text(encoding="utf-8")
_PUT_SNAPSHOT_SHA = hashlib.sha1(_PUT_SNAPSHOT.encode(), usedforsecurity=False).hexdigest()


def packed_trade(time_ms: int, trade_id: int, price: str, quantity: str, is_buy: bool, received_ms: int) -> bytes:
    """A trade as it stands on the wire after `xadd_head`: id and fields; ``price`` and ``quantity`` in ASCII."""
    entry_id, received = f"{time_ms}-{trade_id}", str(received_ms)
    return (
        f"${len(entry_id)}\r\n{entry_id}\r\n$1\r\np\r\n${len(price)}\r\n{price}\r\n$1\r\nq\r\n${len(quantity)}\r\n{quantity}"
        f"\r\n$1\r\ns\r\n$1\r\n{'b' if is_buy else 's'}\r\n$1\r\nr\r\n${len(received)}\r\n{received}\r\n"
    ).encode()


def packed_diff(
    time_ms: int,
    first_update_id: int,
    last_update_id: int,
    bids: Sequence[Level],
    asks: Sequence[Level],
    received_ms: int,
) -> bytes:
    """An order-book diff as it stands on the wire after `xadd_head`."""
    entry_id, first, received = f"{time_ms}-{last_update_id}", str(first_update_id), str(received_ms)
    b, a = encode_levels(bids).decode(), encode_levels(asks).decode()
    return (
        f"${len(entry_id)}\r\n{entry_id}\r\n$1\r\nU\r\n${len(first)}\r\n{first}\r\n$1\r\nb\r\n${len(b)}\r\n{b}"
        f"\r\n$1\r\na\r\n${len(a)}\r\n{a}\r\n$1\r\nr\r\n${len(received)}\r\n{received}\r\n"
    ).encode()


def xadd_head(key: str, *, keep_from_ms: int | None = None, create: bool = True) -> bytes:
    """XADD of one entry as it stands on the wire, up to the `packed_trade` or `packed_diff` that ends it.

    With ``keep_from_ms``, entries whose own time is older go, a whole radix-tree node at a time
    (``MINID ~``), so some older ones stay. With ``create=False`` the reply is None, and nothing
    is added, where the stream does not exist: that is how a lost stream is noticed.
    """
    options: Command = () if create else ("NOMKSTREAM",)
    if keep_from_ms is not None:
        options += ("MINID", "~", max(keep_from_ms, 0))
    head: Command = ("XADD", key, *options)
    _, _, arguments = pack([head]).partition(b"\r\n")  # without their number
    return b"*%d\r\n%b" % (len(head) + _PACKED_ARGUMENTS, arguments)


def top_command(key: str) -> Command:
    """The newest entry of a stream: a list of one or no entry."""
    return ("XREVRANGE", key, "+", "-", "COUNT", 1)


def put_snapshot(symbol: Instrument, snapshot: Snapshot, *, protect_ms: int, load: bool = False) -> Command:
    """Put a snapshot unless one with a higher update id is there; replies 1 or 0. See lua/put_snapshot.lua.

    A stored one that is older by more than ``protect_ms`` does not count. Where the reply is
    `unknown_script`, send it again with ``load=True``.
    """
    script = ("EVAL", _PUT_SNAPSHOT) if load else ("EVALSHA", _PUT_SNAPSHOT_SHA)
    text = encode_snapshot(snapshot)
    return (*script, 1, snapshot_key(symbol), text, snapshot.last_update_id, snapshot.time, protect_ms)


def set_ticker(symbol: Instrument, fields: Iterable[Argument]) -> Command:
    """Set the ticker hash; ``fields`` are names and values in turn, all of `codec.TICKER_FIELDS`."""
    return ("HSET", ticker_key(symbol), *fields)


def set_info(symbol: Instrument, fields: Iterable[Argument]) -> Command:
    """Set the info hash; ``fields`` are names and values in turn, all of `codec.INFO_FIELDS`."""
    return ("HSET", info_key(symbol), *fields)


def pack(commands: Sequence[Command]) -> bytes:
    """The commands as Redis reads them off the wire, ready to be sent at once."""
    # hiredis's type stub knows tuples of one item only
    return b"".join([pack_command(command) for command in commands])  # type: ignore[arg-type]


def refused(reply: Any) -> bool:
    """True when Redis refused an entry because the stream's top has its id or a higher one."""
    return isinstance(reply, ResponseError) and _REFUSED in str(reply)


def unknown_script(reply: Any) -> bool:
    """True when the server does not know the script, as after a restart."""
    return isinstance(reply, NoScriptError)
