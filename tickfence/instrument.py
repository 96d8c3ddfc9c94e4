"""The name of what is traded."""

from __future__ import annotations

import re
from typing import NewType

Instrument = NewType("Instrument", str)
"""An instrument's name, as its exchange writes it: ``BTCUSDT``. Only the module of its exchange looks inside."""

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
PATTERN = f"[A-Z0-9{_CAPITALS}{_WITHOUT_CASE}]{{2,20}}"
"""Regular expression of a name, with the same meaning in Python and JSON Schema.

Binance lists names like 币安人生USDT. Each letter is a capital or has no case, so ``upper()`` leaves a name as it is, and
``lower()``, as in Binance's stream names, loses nothing.
"""

_NAME = re.compile(PATTERN)


def is_instrument(text: str) -> bool:
    """Whether ``text`` is an instrument's name."""
    return _NAME.fullmatch(text) is not None


def parse_instrument(text: str) -> Instrument:
    """Check that ``text`` is an instrument's name.

    Raises:
        ValueError: It is not. The text says what is accepted.

    Example:
        >>> parse_instrument("BTCUSDT")
        'BTCUSDT'
    """
    if not is_instrument(text):
        raise ValueError(f"symbol {text!r} must be 2 to 20 capital letters or digits, like BTCUSDT or 币安人生USDT")
    return Instrument(text)
