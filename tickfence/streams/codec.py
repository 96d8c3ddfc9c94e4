"""What the market-data keys hold, as typed values, and their encoding.

Prices and quantities of levels are JSON numbers: the shortest text that gives the same float back, so equal decimals
of the exchange stay equal floats. A trade's price and quantity are the exchange's own decimal text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Annotated, Any, NamedTuple

import msgspec

Level = tuple[Annotated[float, msgspec.Meta(gt=0)], Annotated[float, msgspec.Meta(ge=0)]]
"""(price, quantity); quantity 0 in a diff removes the level."""

NO_ENTRY = "0-0"
"""The stream id below every entry."""


class BadEntry(ValueError):
    """A stored value is not what this package writes; the text names the field and the value."""


class TradeEntry(NamedTuple):
    """One trade.

    Attributes:
        time_ms: exchange time, ms.
        trade_id: the exchange's number.
        price: in quote currency.
        quantity: in base currency.
        is_buy: the aggressor's side: True when the buyer took liquidity.
        received_ms: when ingest received it, ms on the Redis server's clock.
        id_count: how many of the exchange's trades it stands for: those up to ``trade_id``. Some exchanges tell all trades
            of one taker at one price together.
    """

    time_ms: int
    trade_id: int
    price: float
    quantity: float
    is_buy: bool
    received_ms: int
    id_count: int = 1


class TradesUpTo(IntEnum):
    """What ingest knew of the trades before a diff when it appended it."""

    KNOWN = 0
    """Every trade is in the stream."""
    HELD = 1
    """Some wait for trades before them."""
    BROKEN = 2
    """Some may have been missed: this is the first diff after a loss of the connection."""


class DiffEntry(NamedTuple):
    """One order-book diff.

    Attributes:
        time_ms: exchange time, ms.
        first_update_id: the first update it holds.
        last_update_id: the last update it holds.
        bids: the levels that changed.
        asks: the same.
        received_ms: when ingest received it, ms on the Redis server's clock.
        trades: what ingest knew of the trades before it.
    """

    time_ms: int
    first_update_id: int
    last_update_id: int
    bids: list[Level]
    asks: list[Level]
    received_ms: int
    trades: TradesUpTo = TradesUpTo.KNOWN


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An order book, as far as it is known.

    Attributes:
        last_update_id: the last update it includes.
        stream_id: id of the newest ``md:{SYM}:book`` entry it includes; "0-0" if there is none yet.
        bids: best first.
        asks: best first.
        lowest_bid: the price down to which every bid is known; ``None`` if these are all bids.
        highest_ask: the price up to which every ask is known; ``None`` if these are all asks.
        told: of so many best levels a side the exchange tells every change, and of no others; ``None`` if it tells of those
            up to the two prices above.
        time: when it was taken, ms on the Redis server's clock.
    """

    last_update_id: int
    stream_id: str
    bids: list[Level]
    asks: list[Level]
    lowest_bid: float | None = None
    highest_ask: float | None = None
    told: int | None = None
    time: int


class Ticker(NamedTuple):
    """Statistics of the last 24 hours: prices in quote currency, the change in percent, the volume in base currency.

    A number that is missing or cannot be read is None; the others count.

    Attributes:
        received_ms: when ingest received them, ms on the Redis server's clock; 0 where that is not known.
    """

    last: float | None
    change_pct: float | None
    high: float | None
    low: float | None
    volume: float | None
    received_ms: int


class SymbolInfo(NamedTuple):
    """The exchange's rules for a symbol.

    Attributes:
        tick_size: the smallest step of a price; None where the exchange sets none, or the text is no size.
        step_size: the same of a quantity.
        status: one of `STATUSES`; None for any other word.
        book_from: update id of a book; every snapshot with a lower one is wrong and must not be used. 0 if there is none.
        base: what is traded, like BTC; empty where the exchange does not say.
        quote: what it is paid with, like USDT; the same.
    """

    tick_size: float | None
    step_size: float | None
    status: str | None
    book_from: int = 0
    base: str = ""
    quote: str = ""


_SMALLEST_SIZE = 1e-18
"""Below the smallest step of any exchange: a price divided by it is still a number."""

_LONGEST_ASSET = 40

STATUSES = ("trading", "halted", "delisted")

TICKER_FIELDS = ("last", "change_pct", "high", "low", "volume", "r")
INFO_FIELDS = ("tick_size", "step_size", "status", "book_from", "base", "quote")

Fields = Mapping[bytes, bytes] | Sequence[bytes]
"""The fields of a stream's entry: by name, or as on the wire, name and value in turn."""

_TRADE = [b"p", b"q", b"s", b"r"]
_DIFF = [b"U", b"b", b"a", b"r", b"t"]
_DEFAULTS = {b"t": b"0"}
"""Of fields that an earlier version did not write."""

_TRADES_UP_TO = {b"%d" % each: each for each in TradesUpTo}

_encode = msgspec.json.Encoder().encode
_decode_levels = msgspec.json.Decoder(list[Level]).decode
_decode_snapshot = msgspec.json.Decoder(Snapshot).decode


def split_id(stream_id: str | bytes) -> tuple[int, int]:
    """``"5-7"`` as ``(5, 7)``, which compares as Redis compares stream ids."""
    milliseconds, _, sequence = (stream_id.decode() if isinstance(stream_id, bytes) else stream_id).partition("-")
    return int(milliseconds), int(sequence)


def _values(fields: Fields, names: list[bytes]) -> Sequence[bytes]:
    """The values of ``names``, in this order; quickest where they were written in this order."""
    if isinstance(fields, list):
        if fields[::2] == names:
            return fields[1::2]
        fields = dict(zip(fields[::2], fields[1::2], strict=True))
    known: Any = fields
    known = {**_DEFAULTS, **known}
    return [known[name] for name in names]


def encode_levels(levels: Sequence[Level]) -> bytes:
    """``[[price, quantity], ...]`` as JSON."""
    return _encode(levels)


def decode_trade(stream_id: bytes, fields: Fields) -> TradeEntry:
    """One entry of ``md:{SYM}:trades``. The side is ``b`` or ``s``, and with a count above one ``b3``.

    Raises:
        BadEntry: a field is missing or does not parse.
    """
    try:
        price, quantity, side, received_ms = _values(fields, _TRADE)
        milliseconds, _, trade_id = stream_id.partition(b"-")
        count = 1
        if len(side) > 1:
            side, count = side[:1], int(side[1:])
        is_buy, received = side == b"b", int(received_ms)
        trade = TradeEntry(int(milliseconds), int(trade_id), float(price), float(quantity), is_buy, received, count)
        if not (0 < trade.price < math.inf and 0 < trade.quantity < math.inf):
            raise ValueError("price and quantity must be above 0")
        return trade
    except (KeyError, ValueError) as error:
        raise BadEntry(f"trade {stream_id!r} has fields {fields!r}; needed are p, q, s and r: {error}") from None


def decode_diff(stream_id: bytes, fields: Fields) -> DiffEntry:
    """One entry of ``md:{SYM}:book``.

    Raises:
        BadEntry: a field is missing or does not parse.
    """
    try:
        first_update_id, bids, asks, received_ms, trades = _values(fields, _DIFF)
        milliseconds, _, last_update_id = stream_id.partition(b"-")
        return DiffEntry(
            int(milliseconds),
            int(first_update_id),
            int(last_update_id),
            _decode_levels(bids),
            _decode_levels(asks),
            int(received_ms),
            _TRADES_UP_TO[trades],
        )
    except (KeyError, ValueError) as error:
        raise BadEntry(f"diff {stream_id!r} has fields {fields!r}; needed are U, b, a, r and t: {error}") from None


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """The text of ``md:{SYM}:snapshot``."""
    return _encode(snapshot)


def decode_snapshot(text: bytes) -> Snapshot:
    """The value of ``md:{SYM}:snapshot``.

    Raises:
        BadEntry: not JSON, or not of a snapshot's shape.
    """
    try:
        return _decode_snapshot(text)
    except ValueError as error:
        raise BadEntry(f"snapshot {text[:80]!r}: {error}") from None


def decode_ticker(values: Sequence[bytes | None]) -> Ticker | None:
    """The reply of ``HMGET md:{SYM}:ticker`` for `TICKER_FIELDS`; None while there is no ticker."""
    if all(value is None for value in values):
        return None
    last, change_pct, high, low, volume, received_ms = map(_number, values)
    return Ticker(last, change_pct, high, low, volume, int(received_ms or 0))


def decode_info(values: Sequence[bytes | None]) -> SymbolInfo | None:
    """The reply of ``HMGET md:{SYM}:info`` for `INFO_FIELDS`; None while there is no info.

    Binance writes a size of 0 where a rule is switched off ("Filters" in its REST API's documentation). So 0 is no size.
    """
    if all(value is None for value in values):
        return None
    # What a recorder of an older version has in its log lacks the last two.
    tick_size, step_size, status, book_from, base, quote = (*values, None, None)[: len(INFO_FIELDS)]
    word = None if status is None else status.decode(errors="replace")
    return SymbolInfo(
        _size(tick_size),
        _size(step_size),
        word if word in STATUSES else None,
        int(_number(book_from) or 0),
        decode_asset(base),
        decode_asset(quote),
    )


def decode_asset(text: bytes | None) -> str:
    """A symbol's ``base`` or ``quote``; empty where there is none, and for what cannot be a name."""
    name = (text or b"").decode(errors="replace")
    return name if len(name) <= _LONGEST_ASSET and name.isprintable() else ""


def _number(text: bytes | None) -> float | None:
    """A finite number, or None: one value that cannot be read must not cost the others."""
    try:
        value = float(text or b"")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _size(text: bytes | None) -> float | None:
    value = _number(text)
    return value if value is not None and value >= _SMALLEST_SIZE else None
