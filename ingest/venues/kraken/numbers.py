"""Kraken's JSON numbers as they are written: neither a float nor a JSON parser keeps their zeros."""

from __future__ import annotations

from decimal import Decimal

import msgspec

Text = bytes
"""A level as it is written: its price, `QUANTITY` and its quantity."""

QUANTITY = b',"qty":'
MAX_ZEROS = 50
"""A number with an exponent beyond this is left as it is: it is none of a market."""


def digits(level: bytes) -> bytes:
    """A `Text` as the sum of a book has it: no point, no leading zeros.

    >>> digits(b'45285.2,"qty":0.00100000'), digits(b'2.5E-7,"qty":1e-05')
    (b'452852100000', b'251')
    """
    if b"E" in level or b"e" in level:
        level = QUANTITY.join(plain(msgspec.Raw(number)).encode() for number in level.split(QUANTITY))
    price, quantity = level.replace(b".", b"").split(QUANTITY)
    return price.lstrip(b"0") + quantity.lstrip(b"0")


def plain(raw: msgspec.Raw) -> str:
    """The text of a number, without an exponent. What is no number is left as it is.

    >>> plain(msgspec.Raw(b"0.10000000")), plain(msgspec.Raw(b"1e-08"))
    ('0.10000000', '0.00000001')
    """
    written = bytes(raw)
    text = written.decode(errors="replace")
    if b"e" not in written.lower() or not text[:1].isdigit():
        return text
    number = Decimal(text)
    return f"{number:f}" if abs(number.adjusted()) <= MAX_ZEROS else text
