"""Binance spot: stream names, messages, REST paths and limits.

Source: https://developers.binance.com/docs/binance-spot-api-docs, pages "WebSocket Streams",
"General API Information" and "Market Data endpoints".
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec

from ingest.events import (
    INFINITY,
    ControlReply,
    Depth,
    Diff,
    Event,
    ExchangeInfo,
    Level,
    Reason,
    Rejected,
    Shutdown,
    SymbolRules,
    Ticker,
    Trade,
    check_levels,
)
from ingest.exchange import Request

T = TypeVar("T")

DEPTH, TRADE, TICKER = "@depth@100ms", "@trade", "@ticker"

LAST_TIME_MS = 10**14
"""Later than any time in ms, earlier than any in µs."""

MAX_ID = 2**63 - 1

DEPTH_WEIGHTS = ((5_000, 250), (1_000, 50), (500, 25), (100, 5))
"""Levels a side that one request may ask for, and its weight."""

INFO_WEIGHT = 20

_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
# The text's length bounds the number: what has so few digits is finite.
_are_decimals = re.compile(r"[0-9]{1,100}(\.[0-9]{1,100})? [0-9]{1,100}(\.[0-9]{1,100})?", re.ASCII).fullmatch
_SIGNED = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


class _DepthUpdate(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    E: int
    s: str
    U: int
    u: int
    b: msgspec.Raw
    a: msgspec.Raw


class _Trade(msgspec.Struct, tag_field="e", tag="trade", gc=False):
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class _Ticker(msgspec.Struct, tag_field="e", tag="24hrTicker", gc=False):
    s: str
    P: str
    c: str
    h: str
    l: str  # noqa: E741 - the exchange's name
    v: str


class _ServerShutdown(msgspec.Struct, tag_field="e", tag="serverShutdown", gc=False):
    pass


class _ControlError(msgspec.Struct):
    code: int | None = None
    msg: str = ""


class _Message(msgspec.Struct, gc=False):
    """A combined stream's envelope, or the reply to a control message (which has no ``data``)."""

    stream: str = ""
    data: _DepthUpdate | _Trade | _Ticker | _ServerShutdown | None = None
    id: int | str | None = None
    result: msgspec.Raw | None = None
    error: _ControlError | None = None
    code: int | None = None
    msg: str | None = None
    e: str | None = None


class _Stream(msgspec.Struct):
    stream: str = ""


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
    data: _PlainDepthUpdate | _PlainTrade | _Ticker


_PLAIN_QUOTES, _PLAIN_COLONS = 24, 9
"""Of a plain diff without levels; names of streams and symbols have neither. A level has four quotes more."""


class _Depth(msgspec.Struct):
    lastUpdateId: int
    bids: msgspec.Raw
    asks: msgspec.Raw


class _Filter(msgspec.Struct):
    filterType: str = ""
    tickSize: str = ""
    stepSize: str = ""


class _Symbol(msgspec.Struct):
    symbol: str
    status: str
    filters: list[_Filter] = []


class _RateLimit(msgspec.Struct):
    rateLimitType: str
    interval: str
    intervalNum: int
    limit: int


class _Info(msgspec.Struct):
    symbols: list[_Symbol]
    rateLimits: list[_RateLimit] = []


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_plain = msgspec.json.Decoder(_Plain, strict=False).decode
_decode_stream = msgspec.json.Decoder(_Stream).decode
_decode_depth = msgspec.json.Decoder(_Depth).decode
_decode_info = msgspec.json.Decoder(_Info).decode
# Lax: the exchange quotes its decimals, and this parses them to floats without a detour over str.
_decode_levels = msgspec.json.Decoder(list[Level], strict=False).decode


class Binance:
    """Binance spot's dialect for a fixed set of symbols.

    A REST depth request asks for the deepest book with which all symbols together still start
    within a minute of the exchange's weight limit.
    """

    streams_per_connection = 1_024
    control_messages_per_s = 4.0  # the limit is 5, and pongs count towards it
    connection_lifetime_s = 24 * 3600.0
    connections_per_5_min = 300
    weight_per_minute = 6_000
    used_weight_header = "X-MBX-USED-WEIGHT-1M"

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbol_of = {name: symbol for symbol in symbols for name in self.streams(symbol)}
        self._of_diffs = {symbol.lower() + DEPTH: symbol for symbol in symbols}
        self._of_trades = {symbol.lower() + TRADE: symbol for symbol in symbols}
        affordable = self.weight_per_minute * 0.8 / max(len(symbols), 1)
        self._depth_limit, self._depth_weight = next(
            (limit for limit in DEPTH_WEIGHTS if limit[1] <= affordable), DEPTH_WEIGHTS[-1]
        )

    def streams(self, symbol: str) -> list[str]:
        """The diff, trade and ticker streams of ``symbol``."""
        return [symbol.lower() + suffix for suffix in (DEPTH, TRADE, TICKER)]

    def url(self, base: str, streams: Sequence[str]) -> str:
        """Address of a combined stream."""
        return f"{base.rstrip('/')}/stream?streams={'/'.join(streams)}"

    def subscribe(self, streams: Sequence[str], request_id: int) -> str:
        """The SUBSCRIBE control message."""
        message = {"method": "SUBSCRIBE", "params": list(streams), "id": request_id}
        return msgspec.json.encode(message).decode()

    def decode(self, message: bytes) -> Event:
        """One WebSocket message as an event.

        :raises Rejected: not one of the messages we subscribed to, or a value that cannot be true.
        """
        return self._plain(message) or self._checked(message)

    def _plain(self, message: bytes) -> Event | None:
        """The event, where `_checked` would find nothing to object to; twice as quick."""
        try:
            envelope = _decode_plain(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None  # something else, or wrong: `_checked` knows what
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
        elif type(data) is _Ticker:
            return self._ticker(envelope.stream, data)
        return None

    def _checked(self, message: bytes) -> Event:
        try:
            envelope = _decoded(_decode_message, message)
        except msgspec.ValidationError as error:
            reason = Reason.UNKNOWN_EVENT if "`$.data.e`" in str(error) else Reason.WRONG_TYPE
            raise Rejected(reason, str(error), self._book_of(message)) from None
        data = envelope.data
        if type(data) is _DepthUpdate:
            return self._diff(envelope.stream, data)
        if type(data) is _Trade:
            return self._trade(envelope.stream, data)
        if type(data) is _Ticker:
            return self._ticker(envelope.stream, data)
        if type(data) is _ServerShutdown or envelope.e == "serverShutdown":
            return Shutdown()
        return self._control(envelope, message)

    def _diff(self, stream: str, data: _DepthUpdate) -> Diff:
        symbol = self._known(stream, data.s, DEPTH)
        if not 0 < data.U <= data.u <= MAX_ID:
            raise Rejected(Reason.BAD_UPDATE_IDS, f"{symbol} U={data.U} u={data.u}", symbol)
        if not 0 < data.E < LAST_TIME_MS:
            raise Rejected(Reason.BAD_TIME, f"{symbol} E={data.E}", symbol)
        return Diff(symbol, data.E, data.U, data.u, _levels(data.b, symbol), _levels(data.a, symbol))

    def _trade(self, stream: str, data: _Trade) -> Trade:
        symbol = self._known(stream, data.s, TRADE)
        _check_decimal(data.p, Reason.BAD_PRICE, symbol)
        _check_decimal(data.q, Reason.BAD_QUANTITY, symbol)
        if not 0 < data.T < LAST_TIME_MS:
            raise Rejected(Reason.BAD_TIME, f"{symbol} T={data.T}")
        if not 0 <= data.t <= MAX_ID:
            raise Rejected(Reason.BAD_UPDATE_IDS, f"{symbol} trade id {data.t}")
        # "m": the buyer is the market maker, so the seller was the aggressor.
        return Trade(symbol, data.T, data.t, data.p, data.q, not data.m)

    def _ticker(self, stream: str, data: _Ticker) -> Ticker:
        symbol = self._known(stream, data.s, TICKER)
        for price in (data.c, data.h, data.l):
            _check_decimal(price, Reason.BAD_PRICE, symbol)
        if not _DECIMAL.fullmatch(data.v) or not _SIGNED.fullmatch(data.P):
            raise Rejected(Reason.NOT_A_NUMBER, f"{symbol} ticker v={data.v[:40]!r} P={data.P[:40]!r}")
        return Ticker(symbol, data.c, data.P, data.h, data.l, data.v)

    def _known(self, stream: str, symbol: str, suffix: str) -> str:
        known = self._symbol_of.get(stream)
        if known is None or known != symbol or not stream.endswith(suffix):
            book = known if stream.endswith(DEPTH) else None
            raise Rejected(Reason.UNKNOWN_SYMBOL, f"{symbol[:40]!r} on stream {stream[:60]!r}", book)
        return known

    def _book_of(self, message: bytes) -> str | None:
        """The symbol whose diff this was meant to be, where that can be told."""
        try:
            stream = _decoded(_decode_stream, message).stream
        except (msgspec.ValidationError, Rejected):
            return None
        return self._symbol_of.get(stream) if stream.endswith(DEPTH) else None

    @staticmethod
    def _control(envelope: _Message, message: bytes) -> ControlReply:
        if envelope.error is not None:
            return ControlReply(f"{envelope.error.code} {envelope.error.msg}")
        if envelope.code is not None:
            return ControlReply(f"{envelope.code} {envelope.msg}")
        if envelope.id is not None:
            return ControlReply(None)
        raise Rejected(Reason.UNKNOWN_EVENT, f"{message[:80]!r}")

    def depth_request(self, symbol: str) -> Request:
        """GET /api/v3/depth."""
        return Request("/api/v3/depth", {"symbol": symbol, "limit": str(self._depth_limit)}, self._depth_weight)

    def decode_depth(self, body: bytes) -> Depth:
        """The answer of /api/v3/depth.

        :raises Rejected: not JSON, not of the documented shape, or a book that cannot be.
        """
        try:
            depth = _decoded(_decode_depth, body)
        except msgspec.ValidationError as error:
            raise Rejected(Reason.WRONG_TYPE, f"depth: {error}") from None
        if depth.lastUpdateId <= 0:
            raise Rejected(Reason.BAD_UPDATE_IDS, f"depth lastUpdateId={depth.lastUpdateId}")
        bids, asks = _levels(depth.bids, None), _levels(depth.asks, None)
        if bids and asks and max(bids)[0] >= min(asks)[0]:
            raise Rejected(Reason.CROSSED_BOOK, f"depth bid {max(bids)[0]} ask {min(asks)[0]}")
        return Depth(
            depth.lastUpdateId,
            bids,
            asks,
            lowest_bid=min(bids)[0] if len(bids) >= self._depth_limit else 0.0,
            highest_ask=max(asks)[0] if len(asks) >= self._depth_limit else INFINITY,
        )

    def info_request(self) -> Request:
        """GET /api/v3/exchangeInfo."""
        return Request("/api/v3/exchangeInfo", {"showPermissionSets": "false"}, INFO_WEIGHT)

    def decode_info(self, body: bytes) -> ExchangeInfo:
        """The answer of /api/v3/exchangeInfo.

        :raises Rejected: not JSON, or not of the documented shape.
        """
        try:
            info = _decoded(_decode_info, body)
        except msgspec.ValidationError as error:
            raise Rejected(Reason.WRONG_TYPE, f"exchangeInfo: {error}") from None
        symbols = {}
        for symbol in info.symbols:
            filters = {each.filterType: each for each in symbol.filters}
            tick_size = filters.get("PRICE_FILTER", _Filter()).tickSize
            step_size = filters.get("LOT_SIZE", _Filter()).stepSize
            if _DECIMAL.fullmatch(tick_size) and _DECIMAL.fullmatch(step_size):
                symbols[symbol.symbol] = SymbolRules(tick_size, step_size, symbol.status)
        weight = next(
            (
                limit.limit
                for limit in info.rateLimits
                if (limit.rateLimitType, limit.interval, limit.intervalNum) == ("REQUEST_WEIGHT", "MINUTE", 1)
            ),
            None,
        )
        return ExchangeInfo(symbols, weight)


def _decoded(decode: Callable[[bytes], T], text: bytes) -> T:
    """``text`` decoded.

    :raises Rejected: not JSON, or nested more deeply than the decoder goes.
    :raises msgspec.ValidationError: JSON of another shape.
    """
    try:
        return decode(text)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(Reason.NOT_JSON, f"{error}: {text[:80]!r}") from None


def _levels(raw: msgspec.Raw, symbol: str | None) -> list[Level]:
    text = bytes(raw)
    try:
        levels = _decoded(_decode_levels, text)
    except msgspec.ValidationError as error:
        raise Rejected(Reason.WRONG_TYPE, f"{symbol} levels: {error}", symbol) from None
    if text.count(b'"') != 4 * len(levels):
        raise Rejected(Reason.WRONG_TYPE, f"{symbol} levels: prices and quantities must be decimal strings", symbol)
    if reason := check_levels(levels):
        raise Rejected(reason, f"{symbol} levels {text[:120]!r}", symbol)
    return levels


def _check_decimal(text: str, reason: Reason, symbol: str) -> None:
    """Refuse what is not a positive decimal number in plain digits."""
    if not _DECIMAL.fullmatch(text):
        wrong = reason if _SIGNED.fullmatch(text) else Reason.NOT_A_NUMBER
        raise Rejected(wrong, f"{symbol} {text[:40]!r}")
    if not 0.0 < float(text) < INFINITY:
        raise Rejected(reason, f"{symbol} {text[:40]!r}")
