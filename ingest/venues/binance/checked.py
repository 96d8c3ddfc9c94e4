"""Decoding of Binance spot's WebSocket messages with every check, and a reason for each message that is refused.

Source: https://developers.binance.com/docs/binance-spot-api-docs, page "WebSocket Streams".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from ingest.events import (
    INFINITY,
    ControlReply,
    Diff,
    Event,
    Level,
    Rejected,
    Shutdown,
    Ticker,
    Trade,
    Unfollowed,
    check_levels,
)
from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal

T = TypeVar("T")

DEPTH, TRADE, TICKER = "@depth@100ms", "@trade", "@ticker"

LAST_TIME_MS = 10**14
"""Later than any time in ms, earlier than any in µs."""

MAX_ID = 2**63 - 1

DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
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


class TickerMessage(msgspec.Struct, tag_field="e", tag="24hrTicker", gc=False):
    """A ticker as the exchange sends it, its values not yet checked."""

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
    """The envelope of a combined stream, or the reply to a control message, which has no ``data``."""

    stream: str = ""
    data: _DepthUpdate | _Trade | TickerMessage | _ServerShutdown | None = None
    id: int | str | None = None
    result: msgspec.Raw | None = None
    error: _ControlError | None = None
    code: int | None = None
    msg: str | None = None
    e: str | None = None


class _Stream(msgspec.Struct):
    stream: str = ""


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_stream = msgspec.json.Decoder(_Stream).decode
# Lax: the exchange quotes its decimals, and this parses them to floats without a detour over str.
_decode_levels = msgspec.json.Decoder(list[Level], strict=False).decode


class CheckedDecoder:
    """Decodes the messages of a set of streams, none at first."""

    def __init__(self) -> None:
        self._symbol_of: Mapping[str, Instrument] = {}
        self._left: set[str] = set()

    def follow(self, symbol_of: Mapping[str, Instrument]) -> None:
        """Decode the messages of exactly these streams from now on.

        Args:
            symbol_of: stream -> its symbol.
        """
        self._left = (self._left | self._symbol_of.keys()) - symbol_of.keys()
        self._symbol_of = symbol_of

    def decode(self, message: bytes) -> Event:
        """Decode one WebSocket message.

        Raises:
            Rejected: it is none of the messages we subscribed to, or holds a value that cannot be true.
            Unfollowed: its stream was one of those, and is not any more.
        """
        try:
            envelope = decoded(_decode_message, message)
        except msgspec.ValidationError as error:
            reason = Refusal.UNKNOWN_EVENT if "`$.data.e`" in str(error) else Refusal.WRONG_TYPE
            raise Rejected(reason, str(error), self._book_of(message)) from None
        data = envelope.data
        if type(data) is _DepthUpdate:
            return self._diff(envelope.stream, data)
        if type(data) is _Trade:
            return self._trade(envelope.stream, data)
        if type(data) is TickerMessage:
            return self.ticker(envelope.stream, data)
        if type(data) is _ServerShutdown or envelope.e == "serverShutdown":
            return Shutdown()
        return self._control(envelope, message)

    def _diff(self, stream: str, data: _DepthUpdate) -> Diff:
        symbol = self._known(stream, data.s, DEPTH)
        if not 0 < data.U <= data.u <= MAX_ID:
            raise Rejected(Refusal.BAD_UPDATE_IDS, f"{symbol} U={data.U} u={data.u}", symbol)
        if not 0 < data.E < LAST_TIME_MS:
            raise Rejected(Refusal.BAD_TIME, f"{symbol} E={data.E}", symbol)
        return Diff(symbol, data.E, data.U, data.u, levels(data.b, symbol), levels(data.a, symbol))

    def _trade(self, stream: str, data: _Trade) -> Trade:
        return checked_trade(self._known(stream, data.s, TRADE), data.T, data.t, data.p, data.q, data.m)

    def ticker(self, stream: str, data: TickerMessage) -> Ticker:
        """Check a ticker message of ``stream``. Where nothing was traded for 24 hours, its values are zero.

        Raises:
            Rejected: it is none we subscribed to, or holds a value that cannot be true.
            Unfollowed: its stream was one of those, and is not any more.
        """
        symbol = self._known(stream, data.s, TICKER)
        for price in (data.c, data.h, data.l):
            _check_decimal(price, Refusal.BAD_PRICE, symbol, zero=True)
        _check_decimal(data.v, Refusal.BAD_QUANTITY, symbol, zero=True)
        _check_decimal(data.P.removeprefix("-"), Refusal.NOT_A_NUMBER, symbol, zero=True)
        return Ticker(symbol, data.c, data.P, data.h, data.l, data.v)

    def _known(self, stream: str, symbol: str, suffix: str) -> Instrument:
        known = self._symbol_of.get(stream)
        if known is None and stream in self._left:
            raise Unfollowed(stream)
        if known is None or known != symbol or not stream.endswith(suffix):
            book = known if stream.endswith(DEPTH) else None
            raise Rejected(Refusal.UNKNOWN_SYMBOL, f"{symbol[:40]!r} on stream {stream[:60]!r}", book)
        return known

    def _book_of(self, message: bytes) -> Instrument | None:
        """The symbol whose diff this was meant to be; ``None`` if its stream's name does not say."""
        try:
            stream = decoded(_decode_stream, message).stream
        except (msgspec.ValidationError, Rejected):
            return None
        return self._symbol_of.get(stream) if stream.endswith(DEPTH) else None

    @staticmethod
    def _control(envelope: _Message, message: bytes) -> ControlReply:
        request_id = envelope.id if isinstance(envelope.id, int) else None
        if envelope.error is not None:
            return ControlReply(f"{envelope.error.code} {envelope.error.msg}", request_id)
        if envelope.code is not None:
            return ControlReply(f"{envelope.code} {envelope.msg}", request_id)
        if envelope.id is not None:
            return ControlReply(None, request_id)
        raise Rejected(Refusal.UNKNOWN_EVENT, f"{message[:80]!r}")


def decoded(decode: Callable[[bytes], T], text: bytes) -> T:
    """Decode ``text``.

    Raises:
        Rejected: it is not JSON, or too deeply nested.
        msgspec.ValidationError: it is JSON of another shape.
    """
    try:
        return decode(text)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(Refusal.NOT_JSON, f"{error}: {text[:80]!r}") from None


def typed(decode: Callable[[bytes], T], text: bytes, what: str, symbol: Instrument | None = None) -> T:
    """Decode ``text``, which is ``what``, of the book of ``symbol`` if that misses it.

    Raises:
        Rejected: it is not JSON, or JSON of another shape.
    """
    try:
        return decoded(decode, text)
    except msgspec.ValidationError as error:
        raise Rejected(Refusal.WRONG_TYPE, f"{what}: {error}", symbol) from None


def levels(raw: msgspec.Raw, symbol: Instrument | None) -> list[Level]:
    """Decode one side of a book: (price, quantity) pairs, as the exchange orders them.

    Args:
        raw: JSON pairs of decimal strings.
        symbol: whose book it is, for the error; ``None`` for a snapshot.

    Raises:
        Rejected: they are not pairs of decimal strings, a price is not above 0, or a quantity is below 0.
    """
    text = bytes(raw)
    found = typed(_decode_levels, text, f"{symbol} levels", symbol)
    if text.count(b'"') != 4 * len(found):
        raise Rejected(Refusal.WRONG_TYPE, f"{symbol} levels: prices and quantities must be decimal strings", symbol)
    if reason := check_levels(found):
        raise Rejected(reason, f"{symbol} levels {text[:120]!r}", symbol)
    return found


def checked_trade(
    symbol: Instrument, time_ms: int, trade_id: int, price: str, quantity: str, buyer_is_maker: bool
) -> Trade:
    """A trade, if all of its values can be true.

    Raises:
        Rejected: one cannot.
    """
    _check_decimal(price, Refusal.BAD_PRICE, symbol)
    _check_decimal(quantity, Refusal.BAD_QUANTITY, symbol)
    if not 0 < time_ms < LAST_TIME_MS:
        raise Rejected(Refusal.BAD_TIME, f"{symbol} T={time_ms}")
    if not 0 <= trade_id <= MAX_ID:
        raise Rejected(Refusal.BAD_UPDATE_IDS, f"{symbol} trade id {trade_id}")
    # If the buyer is the market maker, the seller was the aggressor.
    return Trade(symbol, time_ms, trade_id, price, quantity, not buyer_is_maker)


def _check_decimal(text: str, reason: Refusal, symbol: Instrument, *, zero: bool = False) -> None:
    """Refuse what is not a positive decimal number in plain digits, or zero where ``zero`` is one."""
    if not DECIMAL.fullmatch(text):
        wrong = reason if _SIGNED.fullmatch(text) else Refusal.NOT_A_NUMBER
        raise Rejected(wrong, f"{symbol} {text[:40]!r}")
    number = float(text)
    if not (0.0 < number < INFINITY or (zero and number == 0.0)):
        raise Rejected(reason, f"{symbol} {text[:40]!r}")
