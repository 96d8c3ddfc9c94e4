"""Decoding of Kraken's WebSocket v2 messages.

Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2, pages book, trade, ticker, instrument, status,
heartbeat, ping and subscribe.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from ingest.checks import (
    LAST_TIME_MS,
    check_uncrossed,
    checked_ticker,
    checked_trade,
    decoded,
    is_busy,
    milliseconds,
    typed,
)
from ingest.events import (
    BookSnapshot,
    ControlReply,
    Depth,
    Diff,
    Event,
    Refused,
    Rejected,
    Ticker,
    Trade,
    Unfollowed,
    check_levels,
)
from ingest.venues.kraken.checksum import Checksum
from ingest.venues.kraken.instruments import Instruments, Pair
from ingest.venues.kraken.numbers import QUANTITY, level_texts, plain
from tickfence.instrument import Instrument, split
from tickfence.monitoring.ingest_metrics import Refusal

TRADE, BOOK, TICKER, INSTRUMENT, STATUS, HEARTBEAT = "trade", "book", "ticker", "instrument", "status", "heartbeat"
OF_A_SYMBOL = (TRADE, BOOK, TICKER)
"""The channels that are subscribed to symbol by symbol."""
DEPTH = 1_000
"""Levels a side. The exchange says nothing when a level falls out of them."""
ALREADY = "already subscribed"
_BOOK_HEAD, _TRADE_HEAD = b'{"channel":"book"', b'{"channel":"trade"'

_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Message(msgspec.Struct, gc=False):
    """A message of a channel, or the answer to a request, which has no ``channel``."""

    channel: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw()
    method: str = ""
    success: bool = False
    error: str = ""
    Error: str = ""  # so it is written where it says nothing else
    symbol: str = ""
    req_id: int | None = None


class _Level(msgspec.Struct, gc=False):
    price: Annotated[float, msgspec.Meta(gt=0.0, le=sys.float_info.max)]
    qty: Annotated[float, msgspec.Meta(ge=0.0, le=sys.float_info.max)]


class _Book(msgspec.Struct, gc=False):
    symbol: str
    bids: list[_Level]
    asks: list[_Level]
    checksum: int
    timestamp: _Time | None = None


class _Trade(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["buy", "sell"]
    price: msgspec.Raw
    qty: msgspec.Raw
    trade_id: int
    timestamp: _Time


class _Books(msgspec.Struct, gc=False):
    """A usual message of the channel."""

    type: str
    data: tuple[_Book]


class _Trades(msgspec.Struct, gc=False):
    """A usual message of the channel."""

    type: str
    data: tuple[_Trade]


class _Ticker(msgspec.Struct, gc=False):
    symbol: str
    last: msgspec.Raw
    change_pct: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    volume: msgspec.Raw


class _Symbol(msgspec.Struct):
    symbol: str = ""


class _Pairs(msgspec.Struct):
    pairs: list[Pair]


class _Status(msgspec.Struct):
    system: str


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_parts = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_books = msgspec.json.Decoder(_Books).decode
_decode_trades = msgspec.json.Decoder(_Trades).decode
_decode_book = msgspec.json.Decoder(_Book).decode
_decode_trade = msgspec.json.Decoder(_Trade).decode
_decode_ticker = msgspec.json.Decoder(_Ticker).decode
_decode_symbol = msgspec.json.Decoder(_Symbol).decode
_decode_pairs = msgspec.json.Decoder(_Pairs).decode
_decode_status = msgspec.json.Decoder(list[_Status]).decode


class Decoder:
    """Decodes the messages of a set of symbols, none at first."""

    def __init__(self) -> None:
        self._followed: dict[str, Instrument] = {}
        self._left: set[str] = set()
        self._instruments = Instruments()

    def follow(self, symbols: Collection[Instrument]) -> None:
        """Decode the messages of exactly these symbols from now on."""
        followed = {split(symbol)[1]: symbol for symbol in symbols}
        self._left = (self._left | self._followed.keys()) - followed.keys()
        self._followed = followed
        self._instruments.follow(followed)

    def decode(self, message: bytes) -> Sequence[Event]:
        """Decode one message.

        Raises:
            Rejected: it is none of the messages we subscribed to, or holds a value that cannot be true.
            Unfollowed: it is of a symbol that is not followed any more.
        """
        try:  # what is usual in a third of the time
            if message.startswith(_BOOK_HEAD):
                books = _decode_books(message)
                return (self._checked_book(books.data[0], books.type, message, is_message=True),)
            if message.startswith(_TRADE_HEAD):
                return (self._checked_trade(_decode_trades(message).data[0]),)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # of another shape, or wrong: the other way finds out
        return self._any(message)

    def _any(self, message: bytes) -> Sequence[Event]:
        try:
            envelope = typed(_decode_message, message, "message")
        except Rejected as error:
            if error.reason is not Refusal.NOT_JSON:
                raise
            # It may have been an update of any book, of a level for which no sum speaks.
            return [Refused(Rejected(error.reason, repr(message[:80]), symbol)) for symbol in self._followed.values()]
        match envelope.channel:
            case "book":
                return self._parts(envelope, self._book)
            case "trade":
                trades = self._parts(envelope, self._trade)
                return sorted(trades, key=_trade_id) if envelope.type == "snapshot" else trades
            case "ticker":
                return self._parts(envelope, self._ticker)
            case "heartbeat":
                return self._instruments.untold()
            case "instrument":
                pairs = typed(_decode_pairs, bytes(envelope.data), INSTRUMENT).pairs
                return self._instruments.on_pairs(pairs, all_of_them=envelope.type == "snapshot")
            case "status":
                return [
                    event
                    for part in typed(_decode_status, bytes(envelope.data), STATUS)
                    for event in self._instruments.on_status(part.system)
                ]
        if envelope.method or envelope.error or envelope.Error:
            return _reply(envelope)
        raise Rejected(Refusal.UNKNOWN_EVENT, f"{message[:80]!r}")

    def _parts(self, envelope: _Message, decode: Callable[[msgspec.Raw, str], Event]) -> Sequence[Event]:
        parts = typed(_decode_parts, bytes(envelope.data), envelope.channel)
        if len(parts) == 1:
            return (decode(parts[0], envelope.type),)
        events: list[Event] = []
        for part in parts:
            try:
                events.append(decode(part, envelope.type))
            except Rejected as error:
                events.append(Refused(error))
            except Unfollowed:
                continue
        return events

    def _book(self, raw: msgspec.Raw, kind: str) -> Diff | BookSnapshot:
        text = bytes(raw)
        try:
            part = decoded(_decode_book, text)
        except msgspec.ValidationError as error:
            raise Rejected(_why_refused(text), f"book: {error}: {text[:120]!r}", self._book_of(raw)) from None
        return self._checked_book(part, kind, text, is_message=False)

    def _checked_book(self, part: _Book, kind: str, text: bytes, *, is_message: bool) -> Diff | BookSnapshot:
        symbol = self._known(part.symbol)
        bids = [(level.price, level.qty) for level in part.bids]
        asks = [(level.price, level.qty) for level in part.asks]
        time_ms = milliseconds(part.timestamp) if part.timestamp is not None else 0
        proof = Checksum(part.checksum, *level_texts(text, len(bids), len(asks), is_message=is_message))
        if kind == "update":
            if not 0 < time_ms < LAST_TIME_MS:
                raise Rejected(Refusal.BAD_TIME, f"{symbol} book at {part.timestamp}", symbol)
            return Diff(symbol, time_ms, 0, 0, bids, asks, proof)
        if kind != "snapshot":
            raise Rejected(Refusal.UNKNOWN_EVENT, f"{symbol} book of type {kind[:40]!r}", symbol)
        check_uncrossed(bids, asks, symbol)
        lowest_bid = min(bids)[0] if len(bids) >= DEPTH else None
        highest_ask = max(asks)[0] if len(asks) >= DEPTH else None
        return BookSnapshot(symbol, time_ms, Depth(0, bids, asks, lowest_bid, highest_ask), proof)

    def _trade(self, raw: msgspec.Raw, _: str) -> Trade:
        return self._checked_trade(typed(_decode_trade, raw, TRADE))

    def _checked_trade(self, part: _Trade) -> Trade:
        symbol, time_ms = self._known(part.symbol), milliseconds(part.timestamp)
        is_buy = part.side == "buy"  # the taker's side
        return checked_trade(symbol, time_ms, part.trade_id, plain(part.price), plain(part.qty), is_buy)

    def _ticker(self, raw: msgspec.Raw, _: str) -> Ticker:
        part = typed(_decode_ticker, raw, TICKER)
        symbol = self._known(part.symbol)
        values = (part.last, part.change_pct, part.high, part.low, part.volume)
        return checked_ticker(symbol, *map(plain, values))

    def _known(self, name: str) -> Instrument:
        symbol = self._followed.get(name)
        if symbol is None:
            if name in self._left:
                raise Unfollowed(name)
            raise Rejected(Refusal.UNKNOWN_SYMBOL, repr(name[:40]))
        return symbol

    def _book_of(self, raw: msgspec.Raw) -> Instrument | None:
        """The symbol whose book this was meant for; ``None`` if it does not say."""
        try:
            return self._followed.get(_decode_symbol(raw).symbol)
        except msgspec.ValidationError:
            return None


def _why_refused(book: bytes) -> Refusal:
    """What is wrong with what a message tells of one book."""
    try:
        texts = [text for side in level_texts(book, 0, 0, is_message=False) for text in side]
        levels = [(float(price), float(rest)) for price, rest in [text[:-1].split(QUANTITY) for text in texts]]
    except msgspec.ValidationError:
        return Refusal.WRONG_TYPE
    except ValueError:
        return Refusal.NOT_A_NUMBER
    return check_levels(levels) or Refusal.WRONG_TYPE


def _trade_id(event: Event) -> int:
    return event.trade_id if type(event) is Trade else 0


def _reply(envelope: _Message) -> Sequence[Event]:
    """An answer to a request. A refusal names the symbol, but not the channel; one for too many requests may name nothing."""
    error = envelope.error or envelope.Error
    if envelope.method != "subscribe" and not error:
        return ()
    if envelope.success or envelope.method == "unsubscribe" or error.lower().startswith(ALREADY):
        return ()
    streams = [f"{channel}:{envelope.symbol}" for channel in OF_A_SYMBOL] if envelope.symbol else ()
    return (ControlReply(error or "refused", envelope.req_id, streams, later=is_busy(error)),)
