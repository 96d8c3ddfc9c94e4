"""Decoding of Coinbase Exchange's WebSocket messages.

Source: https://docs.cdp.coinbase.com/exchange/websocket-feed/channels and /overview. The changes of a book
have no numbers, so a lost one shows nowhere else. A change that cannot be read costs its book, and one that does not say
whose it is costs every book.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from ingest.checks import (
    LAST_TIME_MS,
    check_decimal,
    check_uncrossed,
    checked_ticker,
    checked_trade,
    decoded,
    is_busy,
    levels,
    milliseconds,
    typed,
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
    Ticker,
    Trade,
    Unfollowed,
    check_levels,
)
from tickfence.instrument import Instrument, split
from tickfence.monitoring.ingest_metrics import Refusal

MATCHES, BOOK, TICKER, HEARTBEAT = "matches", "level2_batch", "ticker", "heartbeat"
CHANNELS = (MATCHES, BOOK, TICKER, HEARTBEAT)
NOT_UNSUBSCRIBED = "Failed to unsubscribe"

Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Update(msgspec.Struct, tag_field="type", tag="l2update", gc=False):
    product_id: str
    changes: msgspec.Raw
    time: Time


class _Snapshot(msgspec.Struct, tag_field="type", tag="snapshot", gc=False):
    product_id: str
    bids: msgspec.Raw
    asks: msgspec.Raw
    time: Time | None = None


class PastTrade(msgspec.Struct, gc=False):
    """A trade as REST gives it. The side is the maker's."""

    trade_id: int
    side: Literal["buy", "sell"]
    size: str
    price: str
    time: Time

    def checked(self, symbol: Instrument) -> Trade:
        """The trade, if all of its values can be true.

        Raises:
            Rejected: one cannot.
        """
        time_ms, is_buy = milliseconds(self.time), self.side == "sell"
        return checked_trade(symbol, time_ms, self.trade_id, self.price, self.size, is_buy)


class _Match(PastTrade, kw_only=True, tag_field="type", tag="match", gc=False):
    product_id: str


class _LastMatch(_Match, tag_field="type", tag="last_match", gc=False):
    """The newest trade before the subscription."""


class _Ticker(msgspec.Struct, tag_field="type", tag="ticker", gc=False):
    product_id: str
    price: str
    open_24h: str
    high_24h: str
    low_24h: str
    volume_24h: str


class _Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat", gc=False):
    pass


class _Subscriptions(msgspec.Struct, tag_field="type", tag="subscriptions", gc=False):
    """All that the connection is subscribed to, after each request."""


class _Error(msgspec.Struct, tag_field="type", tag="error", gc=False):
    message: str = ""
    reason: str = ""


_Message = _Update | _Snapshot | _Match | _LastMatch | _Ticker | _Heartbeat | _Subscriptions | _Error

_decode_message = msgspec.json.Decoder(_Message).decode
_decode_changes = msgspec.json.Decoder(list[tuple[Literal["buy", "sell"], float, float]], strict=False).decode
_product = re.compile(rb'"product_id"\s*:\s*"([^"\\]{1,60})"').search
_type = re.compile(rb'"type"\s*:\s*"(l2update|snapshot|[a-z0-9_]+)"').search


class Decoder:
    """Decodes the messages of a set of symbols, none at first."""

    def __init__(self) -> None:
        self._followed: dict[str, Instrument] = {}
        self._left: set[str] = set()

    def follow(self, symbols: Collection[Instrument]) -> None:
        """Decode the messages of exactly these symbols from now on."""
        followed = {split(symbol)[1]: symbol for symbol in symbols}
        self._left = (self._left | self._followed.keys()) - followed.keys()
        self._followed = followed

    def decode(self, message: bytes) -> Sequence[Event]:
        """Decode one message.

        Raises:
            Rejected: it is none of the messages we subscribed to, or holds a value that cannot be true.
            Unfollowed: it is of a symbol that is not followed any more.
        """
        try:
            found = decoded(_decode_message, message)
        except Rejected as error:
            return self._unreadable(message, error.reason, str(error))
        except msgspec.ValidationError as error:
            reason = Refusal.UNKNOWN_EVENT if "`$.type`" in str(error) else Refusal.WRONG_TYPE
            return self._unreadable(message, reason, str(error))
        match found:
            case _Update():
                return (self._update(found),)
            case _Match():
                return (found.checked(self._known(found.product_id)),)
            case _Ticker():
                return (self._ticker(found),)
            case _Heartbeat() | _Subscriptions():
                return ()
            case _Snapshot():
                return (self._snapshot(found),)
        return (self._refused(found),)

    def _update(self, update: _Update) -> Diff:
        symbol, time_ms = self._known(update.product_id), milliseconds(update.time)
        text = bytes(update.changes)
        changes = typed(_decode_changes, text, f"{symbol} changes", symbol)
        if text.count(b'"') != 6 * len(changes):
            raise Rejected(Refusal.WRONG_TYPE, f"{symbol} changes: numbers must be decimal strings", symbol)
        bids: list[Level] = []
        asks: list[Level] = []
        for side, price, quantity in changes:
            (bids if side == "buy" else asks).append((price, quantity))
        if reason := check_levels(bids) or check_levels(asks):
            raise Rejected(reason, f"{symbol} changes {text[:120]!r}", symbol)
        if not 0 < time_ms < LAST_TIME_MS:
            raise Rejected(Refusal.BAD_TIME, f"{symbol} book at {update.time}", symbol)
        return Diff(symbol, time_ms, 0, 0, bids, asks)

    def _snapshot(self, snapshot: _Snapshot) -> BookSnapshot:
        symbol = self._known(snapshot.product_id)
        bids, asks = levels(snapshot.bids, symbol), levels(snapshot.asks, symbol)
        check_uncrossed(bids, asks, symbol)
        time_ms = milliseconds(snapshot.time) if snapshot.time is not None else 0
        return BookSnapshot(symbol, time_ms, Depth(0, bids, asks))

    def _ticker(self, ticker: _Ticker) -> Ticker:
        symbol = self._known(ticker.product_id)
        check_decimal(ticker.open_24h, Refusal.BAD_PRICE, symbol, zero=True)
        found = checked_ticker(symbol, ticker.price, "0", ticker.high_24h, ticker.low_24h, ticker.volume_24h)
        first, last = float(ticker.open_24h), float(found.last)
        return msgspec.structs.replace(found, change_pct=f"{(last - first) / first * 100:.3f}") if first else found

    def _refused(self, error: _Error) -> ControlReply | Notice:
        """A refusal. Its reason begins with the product, if it is about one."""
        text, name = f"{error.message}: {error.reason}".rstrip(": "), error.reason.partition(" ")[0]
        if error.message.startswith(NOT_UNSUBSCRIBED):
            return Notice(text)
        streams = [f"{channel}:{name}" for channel in CHANNELS] if name in self._followed else ()
        return ControlReply(text, None, streams, later=is_busy(text))

    def _known(self, name: str) -> Instrument:
        symbol = self._followed.get(name)
        if symbol is None:
            if name in self._left:
                raise Unfollowed(name)
            raise Rejected(Refusal.UNKNOWN_SYMBOL, repr(name[:40]))
        return symbol

    def _unreadable(self, message: bytes, reason: Refusal, detail: str) -> Sequence[Event]:
        """Refuse a message that may have been a change of a book."""
        kind, product = _type(message), _product(message)
        if kind is not None and kind[1] not in (b"l2update", b"snapshot"):
            raise Rejected(reason, detail)
        if product is None:
            return [Refused(Rejected(reason, detail, symbol)) for symbol in self._followed.values()]
        raise Rejected(reason, detail, self._followed.get(product[1].decode(errors="replace")))
