"""Decoding of Binance spot's WebSocket messages with every check, and a reason for each message that is refused.

Source: https://developers.binance.com/docs/binance-spot-api-docs, page "WebSocket Streams".
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ingest.checks import LAST_TIME_MS, MAX_ID, checked_ticker, checked_trade, decoded, levels
from ingest.events import ControlReply, Diff, Event, Rejected, Shutdown, Ticker, Trade, Unfollowed
from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal

DEPTH, TRADE, TICKER = "@depth@100ms", "@trade", "@ticker"


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
        # If the buyer is the market maker, the seller was the aggressor.
        return checked_trade(self._known(stream, data.s, TRADE), data.T, data.t, data.p, data.q, not data.m)

    def ticker(self, stream: str, data: TickerMessage) -> Ticker:
        """Check a ticker message of ``stream``. Where nothing was traded for 24 hours, its values are zero.

        Raises:
            Rejected: it is none we subscribed to, or holds a value that cannot be true.
            Unfollowed: its stream was one of those, and is not any more.
        """
        symbol = self._known(stream, data.s, TICKER)
        return checked_ticker(symbol, data.c, data.P, data.h, data.l, data.v)

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
