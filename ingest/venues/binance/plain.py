"""A quick decoder for the usual messages of Binance spot's WebSocket: it takes half as long as one with every check.

Source: https://developers.binance.com/docs/binance-spot-api-docs, page "WebSocket Streams".
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from typing import Annotated

import msgspec

from ingest.checks import LAST_TIME_MS, MAX_ID
from ingest.events import Diff, Event, Ticker, Trade
from ingest.venues.binance.checked import DEPTH, TRADE, TickerMessage
from tickfence.instrument import Instrument

# A number with so few digits is finite.
_are_decimals = re.compile(r"[0-9]{1,100}(\.[0-9]{1,100})? [0-9]{1,100}(\.[0-9]{1,100})?", re.ASCII).fullmatch

_Price = Annotated[float, msgspec.Meta(gt=0.0, le=sys.float_info.max)]
_Quantity = Annotated[float, msgspec.Meta(ge=0.0, le=sys.float_info.max)]
# A lax decoder also takes "5" and 5.0 for an int, unless the type allows a string and a float.
_Integer = int | float | str


class _PlainDepthUpdate(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    E: _Integer
    s: str
    U: _Integer
    u: _Integer
    b: list[tuple[_Price, _Quantity]]
    a: list[tuple[_Price, _Quantity]]


class _PlainTrade(msgspec.Struct, tag_field="e", tag="trade", gc=False):
    s: str
    t: _Integer
    p: str
    q: str
    T: _Integer
    m: bool | int | str


class _Plain(msgspec.Struct, gc=False):
    """A usual message."""

    stream: str
    data: _PlainDepthUpdate | _PlainTrade | TickerMessage


_PLAIN_QUOTES, _PLAIN_COLONS = 24, 9
"""How many a plain diff without levels has. Each level adds four quotes; names of streams and symbols have neither."""

_decode_plain = msgspec.json.Decoder(_Plain, strict=False).decode


class PlainDecoder:
    """Decodes messages that `CheckedDecoder` would accept, and leaves all others to it.

    Args:
        ticker: checks a ticker message of a stream; may raise `Rejected`.
    """

    def __init__(self, ticker: Callable[[str, TickerMessage], Ticker]) -> None:
        self._of_diffs: dict[str, Instrument] = {}
        self._of_trades: dict[str, Instrument] = {}
        self._ticker = ticker

    def follow(self, symbols: Iterable[Instrument]) -> None:
        """Decode the diffs and trades of exactly these symbols from now on."""
        self._of_diffs = {symbol.lower() + DEPTH: symbol for symbol in symbols}
        self._of_trades = {symbol.lower() + TRADE: symbol for symbol in symbols}

    def decode(self, message: bytes) -> Event | None:
        """Decode one WebSocket message; ``None`` leaves it to the other decoder.

        Raises:
            Rejected: a ticker holds a value that cannot be true.
            Unfollowed: a ticker is of a symbol that is not followed any more.
        """
        try:
            envelope = _decode_plain(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None  # another message, or a wrong one: the other decoder finds out
        data = envelope.data
        if type(data) is _PlainDepthUpdate:
            time_ms, first, last, bids, asks = data.E, data.U, data.u, data.b, data.a
            symbol = self._of_diffs.get(envelope.stream)
            if (
                symbol == data.s
                and type(time_ms) is type(first) is type(last) is int
                and 0 < first <= last <= MAX_ID
                and 0 < time_ms < LAST_TIME_MS
                and message.count(b'"') == _PLAIN_QUOTES + 4 * (len(bids) + len(asks))
                and message.count(b":") == _PLAIN_COLONS
            ):
                return Diff(symbol, time_ms, first, last, bids, asks)
        elif type(data) is _PlainTrade:
            time_ms, trade_id, price, quantity = data.T, data.t, data.p, data.q
            symbol = self._of_trades.get(envelope.stream)
            if (
                symbol == data.s
                and type(time_ms) is int
                and type(trade_id) is int
                and type(data.m) is bool
                and 0 < time_ms < LAST_TIME_MS
                and 0 <= trade_id <= MAX_ID
                and _are_decimals(f"{price} {quantity}")
                and float(price) > 0.0
                and float(quantity) > 0.0
            ):
                # "m": the buyer is the market maker, so the seller was the aggressor.
                return Trade(symbol, time_ms, trade_id, price, quantity, not data.m)
        elif type(data) is TickerMessage:
            return self._ticker(envelope.stream, data)
        return None
