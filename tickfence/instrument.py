"""The name of what is traded."""

from __future__ import annotations

import re
from typing import NewType

Instrument = NewType("Instrument", str)
"""An instrument's name, as its exchange writes it: ``BTCUSDT``. Only the module of its exchange looks inside."""

PATTERN = "[A-Z0-9]{2,20}"
"""Regular expression of a name, with the same meaning in Python and JSON Schema."""

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
        raise ValueError(f"symbol {text!r} must match {PATTERN}, like BTCUSDT")
    return Instrument(text)
