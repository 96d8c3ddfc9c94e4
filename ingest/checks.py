"""Checks that the decoders of several venues need: JSON, decimals, times and levels. A refusal names what was sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from ingest.events import INFINITY, Level, Rejected, Ticker, Trade, check_levels
from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal

T = TypeVar("T")

LAST_TIME_MS = 10**14
"""Later than any time in ms, earlier than any in µs."""

MAX_ID = 2**63 - 1

DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
# Both of a trade at once. A number with so few digits is finite.
_are_decimals = re.compile(r"[0-9]{1,100}(\.[0-9]{1,100})? [0-9]{1,100}(\.[0-9]{1,100})?", re.ASCII).fullmatch
_SIGNED = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)

_busy = re.compile(r"\brate\b|too (many|frequent)|busy|unavailable|try again", re.IGNORECASE).search

_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)

# Lax: exchanges quote their decimals, and this parses them to floats without a detour over str.
_decode_levels = msgspec.json.Decoder(list[Level], strict=False).decode


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


def is_busy(error: str) -> bool:
    """Whether an exchange's error says that it takes no more requests now, as each words it.

    >>> [is_busy(text) for text in ("Exceeded msg rate", "EGeneral:Too many requests", "Currency pair not supported A/B")]
    [True, True, False]
    """
    return _busy(error) is not None


def milliseconds(time: datetime) -> int:
    """Unix time in ms of a time with its zone, rounded down.

    >>> milliseconds(datetime.fromisoformat("2026-08-16T23:37:03.745999Z"))
    1786923423745
    """
    return (time - _EPOCH) // _MILLISECOND


def check_time(time_ms: int, symbol: Instrument, book: Instrument | None = None) -> None:
    """Refuse what is no time in ms.

    Args:
        time_ms: the time.
        symbol: whose message it is.
        book: the symbol again, if its book misses the message.
    """
    if not 0 < time_ms < LAST_TIME_MS:
        raise Rejected(Refusal.BAD_TIME, f"{symbol} time {time_ms} ms", book)


def check_decimal(text: str, reason: Refusal, symbol: Instrument, *, zero: bool = False) -> None:
    """Refuse what is not a positive decimal number in plain digits, or zero where ``zero`` is one."""
    if not DECIMAL.fullmatch(text):
        wrong = reason if _SIGNED.fullmatch(text) else Refusal.NOT_A_NUMBER
        raise Rejected(wrong, f"{symbol} {text[:40]!r}")
    number = float(text)
    if not (0.0 < number < INFINITY or (zero and number == 0.0)):
        raise Rejected(reason, f"{symbol} {text[:40]!r}")


def size(text: str) -> str:
    """A tick or step size; empty if it is none, which some exchanges write as zero."""
    return text if DECIMAL.fullmatch(text) and float(text) > 0.0 else ""


def levels(raw: msgspec.Raw, symbol: Instrument | None) -> list[Level]:
    """Decode one side of a book: (price, quantity) pairs, as the exchange orders them.

    Args:
        raw: JSON pairs of decimal strings.
        symbol: whose book misses them, for the error; ``None`` if none does.

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


def check_uncrossed(bids: list[Level], asks: list[Level], symbol: Instrument | None = None) -> None:
    """Refuse a snapshot whose best bid is not below its best ask.

    Args:
        bids: of the snapshot, in any order.
        asks: the same.
        symbol: whose book misses it, if one does.
    """
    bid = max((price for price, quantity in bids if quantity), default=0.0)
    ask = min((price for price, quantity in asks if quantity), default=INFINITY)
    if bid >= ask:
        raise Rejected(Refusal.CROSSED_BOOK, f"snapshot bid {bid} ask {ask}", symbol)


def checked_trade(
    symbol: Instrument, time_ms: int, trade_id: int, price: str, quantity: str, is_buy: bool, count: int = 1
) -> Trade:
    """A trade, if all of its values can be true.

    Raises:
        Rejected: one cannot.
    """
    if not (_are_decimals(f"{price} {quantity}") and float(price) > 0.0 and float(quantity) > 0.0):
        check_decimal(price, Refusal.BAD_PRICE, symbol)
        check_decimal(quantity, Refusal.BAD_QUANTITY, symbol)
    check_time(time_ms, symbol)
    if not 0 <= trade_id <= MAX_ID:
        raise Rejected(Refusal.BAD_UPDATE_IDS, f"{symbol} trade id {trade_id}")
    return Trade(symbol, time_ms, trade_id, price, quantity, is_buy, count)


def checked_ticker(symbol: Instrument, last: str, change_pct: str, high: str, low: str, volume: str) -> Ticker:
    """A ticker, if all of its values can be true. Where nothing was traded for 24 hours, they may be zero.

    Raises:
        Rejected: one cannot.
    """
    for price in (last, high, low):
        check_decimal(price, Refusal.BAD_PRICE, symbol, zero=True)
    check_decimal(volume, Refusal.BAD_QUANTITY, symbol, zero=True)
    check_decimal(change_pct.removeprefix("-"), Refusal.NOT_A_NUMBER, symbol, zero=True)
    return Ticker(symbol, last, change_pct, high, low, volume)
