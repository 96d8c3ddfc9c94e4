"""Decoding of OKX's WebSocket messages: the channels `books`, `trades` and `tickers`, and the answers to control messages.

Source: https://www.okx.com/docs-v5/en/, "WS / Order book channel", "WS / Trades channel", "WS / Tickers channel",
"Subscribe", "Notification", "Connection count limit", and the error codes of the public WebSocket.

Quantities are in base currency for spot, and in contracts for everything else.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal, TypeVar

import msgspec

from ingest.checks import (
    LAST_TIME_MS,
    MAX_ID,
    check_decimal,
    check_uncrossed,
    checked_ticker,
    checked_trade,
    is_busy,
)
from ingest.events import (
    BookSnapshot,
    ControlReply,
    Depth,
    Diff,
    Event,
    Level,
    Notice,
    Refused,
    Rejected,
    Shutdown,
    Ticker,
    Trade,
    Unfollowed,
)
from ingest.venues.okx.checksum import Proof
from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal

T = TypeVar("T")

BOOKS, TRADES, TICKERS = "books", "trades", "tickers"
BOOK_LEVELS = 400
"""Levels a side that `books` tells of. It names each level that leaves them or comes in."""

UNSUBSCRIBED = "u"
"""Begins the id of a control message that takes streams from a connection: its answers are told apart by that."""

SERVICE_UPGRADE = "64008"
"""The connection ends within 60 s."""

_NAMED = re.compile(r"channel:([^,\s]+),\s*instId:(\S+)", re.IGNORECASE)

_Price = Annotated[float, msgspec.Meta(gt=0.0, le=sys.float_info.max)]
_Quantity = Annotated[float, msgspec.Meta(ge=0.0, le=sys.float_info.max)]


class _Arg(msgspec.Struct, gc=False):
    channel: str = ""
    instId: str = ""


class _Level(msgspec.Struct, array_like=True, gc=False):
    price: _Price
    quantity: _Quantity  # after it come a "0" that means nothing, and the number of orders


class _Book(msgspec.Struct, gc=False):
    asks: list[_Level]
    bids: list[_Level]
    ts: int
    seqId: int
    prevSeqId: int
    checksum: int = 0


class _BookText(msgspec.Struct, gc=False):
    asks: msgspec.Raw
    bids: msgspec.Raw


class _Trade(msgspec.Struct, gc=False):
    tradeId: int
    px: str
    sz: str
    side: Literal["buy", "sell"]
    ts: int
    count: int = 1


class _Ticker(msgspec.Struct, gc=False):
    last: str
    open24h: str
    high24h: str
    low24h: str
    vol24h: str


class _BooksMessage(msgspec.Struct, gc=False):
    arg: _Arg
    action: str
    data: list[_Book]


class _TextsMessage(msgspec.Struct, gc=False):
    data: list[_BookText]


class _TradesMessage(msgspec.Struct, gc=False):
    arg: _Arg
    data: list[_Trade]


class _Message(msgspec.Struct, gc=False):
    """Any message: data of a channel, or an event."""

    arg: _Arg | None = None
    action: str = ""
    data: msgspec.Raw = msgspec.Raw()
    event: str = ""
    id: str = ""
    code: str = ""
    msg: str = ""
    channel: str = ""
    connCount: str | int = ""


# Lax: the exchange quotes its numbers, and this parses them without a detour over str.
def _decoder(kind: type[T]) -> Callable[[bytes], T]:
    return msgspec.json.Decoder(kind, strict=False).decode


_decode_books_message = _decoder(_BooksMessage)
_decode_trades_message = _decoder(_TradesMessage)
_decode_texts = _decoder(_TextsMessage)
_decode_level_texts = _decoder(list[tuple[str, str, str, str]])
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_book, _decode_trade, _decode_ticker = _decoder(_Book), _decoder(_Trade), _decoder(_Ticker)

_UNUSABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_BOOKS_START, _TRADES_START = b'{"arg":{"channel":"books"', b'{"arg":{"channel":"trades"'
"""How the exchange begins its most frequent messages. Others, also with another order of their keys, take a bit longer."""


def stream(channel: str, name: str) -> str:
    """The name of a stream: what the exchange calls the channel of one of its instruments.

    Example:
        >>> stream("books", "BTC-USDT")
        'books:BTC-USDT'
    """
    return f"{channel}:{name}"


class Decoder:
    """Decodes the messages of the symbols that are followed, none at first.

    Attributes:
        symbols: the exchange's name of each of them -> the instrument.
    """

    def __init__(self) -> None:
        self.symbols: Mapping[str, Instrument] = {}
        self._left: set[str] = set()

    def follow(self, symbols: Mapping[str, Instrument]) -> None:
        """Decode the messages of exactly these symbols from now on: the exchange's name -> the instrument."""
        self._left = (self._left | self.symbols.keys()) - symbols.keys()
        self.symbols = symbols

    def decode(self, message: bytes) -> Sequence[Event]:
        """Decode one message.

        Raises:
            Rejected: it is none of the messages that were subscribed to, or holds a value that cannot be true.
            Unfollowed: it is of a symbol that is not followed any more.
        """
        try:
            if message.startswith(_BOOKS_START):
                books = _decode_books_message(message)
                return self._books(books.arg, books.action, books.data, message)
            if message.startswith(_TRADES_START):
                trades = _decode_trades_message(message)
                symbol = self._known(trades.arg, TRADES)
                return [_checked(symbol, each) for each in trades.data]
        except (*_UNUSABLE, Rejected):
            pass  # what follows finds out why, and saves the other parts
        return self._any(message)

    def _any(self, text: bytes) -> Sequence[Event]:
        if text == b"pong":
            return ()
        message = decoded(_decode_message, text, text, None)
        if message.event:
            return self._event(message)
        arg, data = message.arg, message.data
        if arg is None or not bytes(data):
            raise Rejected(Refusal.UNKNOWN_EVENT, f"{text[:80]!r}")
        symbol = self._known(arg, arg.channel)
        book = symbol if arg.channel == BOOKS else None
        parts = decoded(_decode_list, bytes(data), text, book)
        if arg.channel == BOOKS:
            found = [decoded(_decode_book, bytes(part), bytes(part), book) for part in parts]
            return self._books(arg, message.action, found, text)
        if arg.channel == TRADES:
            return [_part(_trade_of, symbol, bytes(part)) for part in parts]
        if arg.channel == TICKERS:
            tickers = (_part(_ticker_of, symbol, bytes(part)) for part in parts)
            return [ticker for ticker in tickers if ticker is not None]
        raise Rejected(Refusal.UNKNOWN_EVENT, f"channel {arg.channel[:40]!r}")

    def _books(self, arg: _Arg, action: str, books: Sequence[_Book], text: bytes) -> Sequence[Event]:
        symbol = self._known(arg, BOOKS)
        events: list[Event] = []
        texts = None
        for number, book in enumerate(books):
            if book.checksum and texts is None:
                texts = decoded(_decode_texts, text, text, symbol).data
            event = _book_event(symbol, action, book, texts[number] if texts else None)
            if event is not None:
                events.append(event)
        return events

    def _known(self, arg: _Arg, channel: str) -> Instrument:
        symbol = self.symbols.get(arg.instId)
        if symbol is None and arg.instId in self._left:
            raise Unfollowed(stream(arg.channel, arg.instId))
        if symbol is None or arg.channel != channel:
            raise Rejected(Refusal.UNKNOWN_SYMBOL, f"{arg.instId[:40]!r} on channel {arg.channel[:40]!r}")
        return symbol

    def _event(self, message: _Message) -> Sequence[Event]:
        request_id = int(message.id) if message.id.isdecimal() else None
        named = _NAMED.search(message.msg)
        streams = (stream(named[1], named[2]),) if named else ()
        error = f"{message.code} {message.msg}".strip()
        if message.event in ("subscribe", "unsubscribe", "channel-conn-count"):
            return ()
        if message.event == "error" and message.id.startswith(UNSUBSCRIBED):
            return [Notice(error)]  # the stream goes on
        if message.event == "error":
            return [ControlReply(error, request_id, streams, later=is_busy(error))]
        if message.event == "notice":
            notice = Notice(error)
            return [notice, Shutdown()] if message.code == SERVICE_UPGRADE else [notice]
        if message.event == "channel-conn-count-error":
            # It names no instrument: the connection has lost them all.
            lost = tuple(stream(message.channel, name) for name in self.symbols)
            return [ControlReply(f"too many connections for this channel: {message.connCount}", None, lost, later=True)]
        raise Rejected(Refusal.UNKNOWN_EVENT, f"event {message.event[:40]!r}")


def _book_event(symbol: Instrument, action: str, book: _Book, texts: _BookText | None) -> Event | None:
    """A snapshot or diff; ``None`` for a message that only says that the connection lives.

    Raises:
        Rejected: an id or time cannot be true, or it is neither.
    """
    seq_id, previous, time_ms = book.seqId, book.prevSeqId, book.ts
    if not (0 <= seq_id <= MAX_ID and -1 <= previous <= MAX_ID):
        raise Rejected(Refusal.BAD_UPDATE_IDS, f"{symbol} seqId={seq_id} prevSeqId={previous}", symbol)
    if not 0 < time_ms < LAST_TIME_MS:
        raise Rejected(Refusal.BAD_TIME, f"{symbol} ts={time_ms}", symbol)
    proof = None
    if texts is not None:
        bid_texts = _level_texts(texts.bids, len(book.bids), symbol)
        proof = Proof(book.checksum, bid_texts, _level_texts(texts.asks, len(book.asks), symbol))
    bids: list[Level] = [(level.price, level.quantity) for level in book.bids]
    asks: list[Level] = [(level.price, level.quantity) for level in book.asks]
    if action == "update":
        if seq_id == previous:
            if bids or asks:
                raise Rejected(Refusal.BAD_UPDATE_IDS, f"{symbol} changes with seqId=prevSeqId={seq_id}", symbol)
            return None
        return Diff(symbol, time_ms, previous + 1, seq_id, bids, asks, proof)
    if action != "snapshot":
        raise Rejected(Refusal.UNKNOWN_EVENT, f"{symbol} action {action[:40]!r}", symbol)
    check_uncrossed(bids, asks, symbol)
    depth = Depth(
        seq_id,
        bids,
        asks,
        lowest_bid=min(bids)[0] if len(bids) >= BOOK_LEVELS else None,
        highest_ask=max(asks)[0] if len(asks) >= BOOK_LEVELS else None,
    )
    return BookSnapshot(symbol, time_ms, depth, proof)


def _level_texts(side: msgspec.Raw, count: int, symbol: Instrument) -> list[bytes]:
    """Each level of a side, from the quote before its price on."""
    raw = bytes(side)
    texts = raw[2:-2].split(b"],[") if count else []
    if len(texts) == count and raw.count(b'"') == 8 * count:
        return texts
    return [f'"{text[0]}","{text[1]}"'.encode() for text in decoded(_decode_level_texts, raw, raw, symbol)]


def _trade_of(symbol: Instrument, text: bytes) -> Trade:
    return _checked(symbol, decoded(_decode_trade, text, text, None))


def _checked(symbol: Instrument, trade: _Trade) -> Trade:
    """A trade of the channel, which stands for ``count`` matches of one taker at one price; the last has the id.

    Raises:
        Rejected: one of its values cannot be true.
    """
    if not 0 < trade.count <= trade.tradeId + 1:
        raise Rejected(Refusal.BAD_UPDATE_IDS, f"{symbol} tradeId={trade.tradeId} count={trade.count}")
    return checked_trade(symbol, trade.ts, trade.tradeId, trade.px, trade.sz, trade.side == "buy", trade.count)


def _ticker_of(symbol: Instrument, text: bytes) -> Ticker | None:
    """A ticker; ``None`` while there are no statistics: nothing was traded for 24 hours.

    Raises:
        Rejected: one of its values cannot be true.
    """
    found = decoded(_decode_ticker, text, text, None)
    if "" in (found.last, found.open24h, found.high24h, found.low24h, found.vol24h):
        return None
    check_decimal(found.last, Refusal.BAD_PRICE, symbol, zero=True)
    check_decimal(found.open24h, Refusal.BAD_PRICE, symbol)
    change_pct = round((float(found.last) / float(found.open24h) - 1.0) * 100.0, 3) + 0.0  # no "-0.000"
    return checked_ticker(symbol, found.last, f"{change_pct:.3f}", found.high24h, found.low24h, found.vol24h)


def _part(decode: Callable[[Instrument, bytes], T], symbol: Instrument, text: bytes) -> T | Refused:
    """One part of a message; the others are not lost with it."""
    try:
        return decode(symbol, text)
    except Rejected as error:
        return Refused(error)


def decoded(decode: Callable[[bytes], T], data: bytes, text: bytes, book: Instrument | None) -> T:
    """Decode a part of a message.

    Raises:
        Rejected: it is not JSON, or JSON of another shape.
    """
    try:
        return decode(data)
    except msgspec.ValidationError as error:
        raise Rejected(_reason(str(error)), f"{error}: {text[:80]!r}", book) from None
    except _UNUSABLE as error:
        raise Rejected(Refusal.NOT_JSON, f"{error}: {text[:80]!r}", book) from None


def _reason(error: str) -> Refusal:
    """Why msgspec refuses a value, from its text: what was expected, and the place of it, like ``$.bids[3][0]``."""
    if "float" not in error and "out of range" not in error:
        return Refusal.WRONG_TYPE
    if "> 0.0" in error or ">= 0.0" in error:
        return Refusal.BAD_QUANTITY if error.endswith("[1]`") else Refusal.BAD_PRICE
    return Refusal.NOT_A_NUMBER
