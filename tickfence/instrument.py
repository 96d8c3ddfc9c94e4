"""The name of what is traded: ``[venue:]symbol``.

The symbol stands as its exchange writes it: ``BTCUSDT`` (the default venue, Binance), ``okx:BTC-USDT``,
``kraken:BTC/USD``. Keys, leases, queues and readers take the whole for one opaque name; only the code of a venue looks
inside.
"""

from __future__ import annotations

import re
from typing import NewType

Instrument = NewType("Instrument", str)
"""An instrument's name. Only the code of its venue looks inside."""

DEFAULT_VENUE = "binance"
"""The venue of a name without one."""

_CAPITALS = "".join(
    (
        r"\u00c0-\u00d6\u00d8-\u00de",  # Latin
        r"\u0391-\u03a1\u03a3-\u03a9",  # Greek
        r"\u0400-\u042f",  # Cyrillic
        r"\u0531-\u0556",  # Armenian
    )
)
_WITHOUT_CASE = "".join(
    (
        r"\u05d0-\u05ea",  # Hebrew
        r"\u0620-\u064a",  # Arabic
        r"\u0904-\u0939",  # Devanagari
        r"\u0e01-\u0e30",  # Thai
        r"\u3041-\u3096\u30a1-\u30fa\u30fc",  # Hiragana, Katakana
        r"\u3005\u3400-\u4dbf\u4e00-\u9fff",  # Chinese
        r"\uac00-\ud7a3",  # Hangul
    )
)
_LETTERS = f"A-Z0-9{_CAPITALS}{_WITHOUT_CASE}"
_SIGNS = r"a-z!#$%&()*+./:;<=>?@\[\]^_|~\-"  # no space, comma, brace, backslash or quote

_BINANCE = f"[{_LETTERS}]{{2,20}}"
_VENUE = "[a-z][a-z0-9]{0,19}"
PATTERN = f"(?:{_BINANCE}|(?!{DEFAULT_VENUE}:){_VENUE}:[{_LETTERS}{_SIGNS}]{{1,40}})"
"""Regular expression of a name, with the same meaning in Python and JSON Schema.

Binance lists names like 币安人生USDT. Each letter of its names is a capital or has no case, so ``upper()`` leaves a name
as it is, and ``lower()``, as in Binance's stream names, loses nothing.

An instrument has one name only, so ``binance:BTCUSDT`` is none.
"""

ACCEPTED = (
    "2 to 20 capital letters or digits, like BTCUSDT or 币安人生USDT, "
    "or venue:symbol as the exchange writes it, like okx:BTC-USDT or kraken:BTC/USD"
)
"""What a name looks like, for errors and help."""

_NAME = re.compile(PATTERN)
_OF_BINANCE, _OF_VENUE = re.compile(_BINANCE), re.compile(_VENUE)


def is_instrument(text: str) -> bool:
    """Whether ``text`` is an instrument's name."""
    return _NAME.fullmatch(text) is not None


def parse_instrument(text: str) -> Instrument:
    """Check that ``text`` is an instrument's name.

    Raises:
        ValueError: It is not. The text says what is accepted.

    Example:
        >>> parse_instrument("BTCUSDT"), parse_instrument("kraken:BTC/USD")
        ('BTCUSDT', 'kraken:BTC/USD')
    """
    if is_instrument(text):
        return Instrument(text)
    venue, colon, symbol = text.partition(":")
    if not colon:
        raise ValueError(f"symbol {text!r} must be {ACCEPTED}")
    if venue == DEFAULT_VENUE and _OF_BINANCE.fullmatch(symbol):
        raise ValueError(f"symbol {text!r} must be written without its venue, the default one: {symbol}")
    if not _OF_VENUE.fullmatch(venue):
        accepted = "the part before the colon must be a venue, 1 to 20 small letters or digits, like okx:BTC-USDT"
    elif venue == DEFAULT_VENUE:
        accepted = f"must be {ACCEPTED}"
    else:
        accepted = (
            f"the part after {venue}: must be 1 to 40 letters, digits or signs "
            "without space, comma, brace, backslash or quote"
        )
    raise ValueError(f"symbol {text!r}: {accepted}")


def split(instrument: str) -> tuple[str, str]:
    """Return the venue and the symbol, as that venue writes it.

    Example:
        >>> split("BTCUSDT"), split("ccxt:bitstamp:BTC/USD")
        (('binance', 'BTCUSDT'), ('ccxt', 'bitstamp:BTC/USD'))
    """
    before, colon, after = instrument.partition(":")
    return (before, after) if colon else (DEFAULT_VENUE, instrument)


def as_typed(text: str) -> str:
    """Return the name that a person means: ``btcusdt`` is ``BTCUSDT``. Names with a venue keep their case.

    Example:
        >>> as_typed("btcusdt"), as_typed("kraken:BTC/USD")
        ('BTCUSDT', 'kraken:BTC/USD')
    """
    return text if ":" in text else text.upper()
