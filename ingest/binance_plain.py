"""Binance spot's WebSocket messages as they come day in, day out, decoded twice as quickly as with every check.

Source: https://developers.binance.com/docs/binance-spot-api-docs, page "WebSocket Streams".
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec

from ingest.binance_checked import DEPTH, LAST_TIME_MS, MAX_ID, TRADE, TickerMessage
from ingest.events import Diff, Event, Ticker, Trade
from tickfence.instrument import Instrument

# The text's length bounds the number: what has so few digits is finite.
_are_decimals = re.compile(r"[0-9]{1,100}(\.[0-9]{1,100})? [0-9]{1,100}(\.[0-9]{1,100})?", re.ASCII).fullmatch

_Price = Annotated[float, msgspec.Meta(gt=0.0, le=sys.float_info.max)]
_Quantity = Annotated[float, msgspec.Meta(ge=0.0, le=sys.float_info.max)]
# Decoded laxly an int takes quoted digits and 5.0 for itself, unless a string and a float may stand there as well.
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
    """A message as the exchange sends them day in, day out."""

    stream: str
    data: _PlainDepthUpdate | _PlainTrade | TickerMessage


_PLAIN_QUOTES, _PLAIN_COLONS = 24, 9
"""Of a plain diff without levels; names of streams and symbols have neither. A level has four quotes more."""

_decode_plain = msgspec.json.Decoder(_Plain, strict=False).decode


class PlainDecoder:
    """Decodes what `CheckedDecoder` would find nothing to object to, and leaves the rest to it.

    Parameters:
        symbols: whose diffs and trades may come.
        ticker: makes the event of a ticker message on a stream, and may raise Rejected.
    """

    def __init__(self, symbols: Sequence[Instrument], ticker: Callable[[str, TickerMessage], Ticker]) -> None:
        self._of_diffs = {symbol.lower() + DEPTH: symbol for symbol in symbols}
        self._of_trades = {symbol.lower() + TRADE: symbol for symbol in symbols}
        self._ticker = ticker

    def decode(self, message: bytes) -> Event | None:
        """One WebSocket message as an event; None where the other decoder is to look at it.

        :raises Rejected: a ticker with a value that cannot be true.
        """
        try:
            envelope = _decode_plain(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None  # something else, or wrong: the other knows what
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
