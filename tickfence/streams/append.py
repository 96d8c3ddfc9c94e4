"""Appending to the streams: commands that are packed once and sent in batches.

Ids come from the exchange, so the same entry has the same id in every ingest. Redis refuses an id that is not above
the stream's top. So the second of two ingest processes loses the race for an entry, and that is no error: see `refused`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hiredis import pack_command

from tickfence.redis_access.command import Command
from tickfence.redis_access.errors import NoScript, ResponseError
from tickfence.redis_access.scripts import Argument, Script
from tickfence.streams.codec import Level, Snapshot, TradesUpTo, encode_levels, encode_snapshot, split_id

TRADE_FIELDS, DIFF_FIELDS = 4, 5
"""Fields of a `packed_trade` and of a `packed_diff`."""

_DIFF = b"$%d\r\n%b\r\n$1\r\nU\r\n$%d\r\n%b\r\n$1\r\nb\r\n$%d\r\n%b\r\n$1\r\na\r\n$%d\r\n%b\r\n$1\r\nr\r\n$%d\r\n%b\r\n$1\r\nt\r\n$1\r\n%d\r\n"
_REFUSED = "equal or smaller than the target stream top item"
_ANY_TIME_MS = 10**15
PUT_SNAPSHOT = Script("streams/lua/put_snapshot.lua")


def packed_trade(
    time_ms: int, trade_id: int, price: str, quantity: str, is_buy: bool, received_ms: int, count: int = 1
) -> bytes:
    """A trade as it stands on the wire after `xadd_head`: id and fields.

    Args:
        time_ms: exchange time, ms; the first part of the id.
        trade_id: the exchange's number; the second part of the id.
        price: the exchange's decimal text, in ASCII.
        quantity: the same.
        is_buy: whether the aggressor bought.
        received_ms: when ingest received it, ms on the Redis server's clock.
        count: how many of the exchange's trades it stands for.
    """
    entry_id, received = f"{time_ms}-{trade_id}", str(received_ms)
    side = "b" if is_buy else "s"
    if count != 1:
        side += str(count)
    return (
        f"${len(entry_id)}\r\n{entry_id}\r\n$1\r\np\r\n${len(price)}\r\n{price}\r\n$1\r\nq\r\n${len(quantity)}\r\n{quantity}"
        f"\r\n$1\r\ns\r\n${len(side)}\r\n{side}\r\n$1\r\nr\r\n${len(received)}\r\n{received}\r\n"
    ).encode()


def packed_diff(
    time_ms: int,
    first_update_id: int,
    last_update_id: int,
    bids: Sequence[Level],
    asks: Sequence[Level],
    received_ms: int,
    trades: TradesUpTo = TradesUpTo.KNOWN,
) -> bytes:
    """An order-book diff as it stands on the wire after `xadd_head`: id and fields.

    Args:
        time_ms: exchange time, ms; the first part of the id.
        first_update_id: the first update it holds.
        last_update_id: the last update it holds; the second part of the id.
        bids: the levels that changed.
        asks: the same.
        received_ms: when ingest received it, ms on the Redis server's clock.
        trades: what is known of the trades before it.
    """
    entry_id, first, received = b"%d-%d" % (time_ms, last_update_id), b"%d" % first_update_id, b"%d" % received_ms
    b, a = encode_levels(bids), encode_levels(asks)
    return _DIFF % (len(entry_id), entry_id, len(first), first, len(b), b, len(a), a, len(received), received, trades)


def xadd_head(key: str, fields: int, *, keep_from_ms: int | None = None, create: bool = True) -> bytes:
    """XADD of one entry as it stands on the wire, up to the `packed_trade` or `packed_diff` that ends it.

    Args:
        key: of the stream.
        fields: `TRADE_FIELDS` or `DIFF_FIELDS`.
        keep_from_ms: drop entries whose own time is older, a whole radix-tree node at a time (``MINID ~``), so some
            older ones stay.
        create: create a stream that does not exist. Otherwise nothing is added then, and the reply is None: so a lost
            stream is noticed.
    """
    return packed_head(("XADD", key, *xadd_options(keep_from_ms, create)), 1 + 2 * fields)


def xadd_options(keep_from_ms: int | None, create: bool) -> Command:
    """What stands between key and id; see `xadd_head`."""
    options: Command = () if create else ("NOMKSTREAM",)
    return options if keep_from_ms is None else (*options, "MINID", "~", max(keep_from_ms, 0))


def packed_head(head: Command, more: int) -> bytes:
    """A command as it stands on the wire, up to ``more`` packed arguments that end it."""
    return b"*%d\r\n%b" % (len(head) + more, packed_arguments(head))


def packed_arguments(arguments: Command) -> bytes:
    """Some of a command's arguments as they stand on the wire."""
    return pack([arguments]).partition(b"\r\n")[2]  # without their number


def top_command(key: str) -> Command:
    """The newest entry of a stream: a list of one or no entry. `newest_id` decodes it."""
    return ("XREVRANGE", key, "+", "-", "COUNT", 1)


def newest_id(reply: Any) -> tuple[int, int] | None:
    """The id in a reply to `top_command`; ``None`` for an empty stream, or for what is no stream."""
    return split_id(reply[0][0]) if reply and not isinstance(reply, ResponseError) else None


def put_snapshot(key: str, snapshot: Snapshot, *, protect_ms: int | None) -> Command:
    """Put a snapshot unless one with a higher update id is there; replies 1 or 0. See ``lua/put_snapshot.lua``.

    Args:
        key: of the snapshot.
        snapshot: what to put.
        protect_ms: a stored snapshot that is older by more than this does not count; ``None``: none counts.
    """
    protected = -_ANY_TIME_MS if protect_ms is None else protect_ms
    arguments = (encode_snapshot(snapshot), snapshot.last_update_id, snapshot.time, protected)
    return PUT_SNAPSHOT.command([key], arguments)


def set_snapshot(key: str, snapshot: Snapshot) -> Command:
    """Put a snapshot whatever is there; replies OK."""
    return ("SET", key, encode_snapshot(snapshot))


def set_hash(key: str, fields: Iterable[Argument]) -> Command:
    """Set the ticker or the info.

    Args:
        key: of the hash.
        fields: names and values in turn: all of `codec.TICKER_FIELDS`, or of `codec.INFO_FIELDS`.
    """
    return ("HSET", key, *fields)


def pack(commands: Sequence[Command]) -> bytes:
    """The commands as Redis reads them off the wire, ready to be sent at once."""
    return b"".join([pack_command(command) for command in commands])


def refused(reply: Any) -> bool:
    """Whether Redis refused an entry because the stream's top has its id or a higher one."""
    return isinstance(reply, ResponseError) and _REFUSED in str(reply)


def unknown_script(reply: Any) -> bool:
    """Whether the server does not know the script, as after a restart."""
    return isinstance(reply, NoScript)
