"""Kraken's JSON numbers as they are written: neither a float nor a JSON parser keeps their zeros."""

from __future__ import annotations

from decimal import Decimal

import msgspec

Text = bytes
"""A level as it is written: its price, `QUANTITY`, its quantity and `END`. More may follow."""

QUANTITY, END = b',"qty":', b"}"
MAX_ZEROS = 50
"""A number with an exponent beyond this is left as it is: it is none of a market."""


def digits(level: Text) -> bytes:
    """A `Text` as the sum of a book has it: no point, no leading zeros.

    >>> digits(b'45285.2,"qty":0.00100000}'), digits(b'2.5E-7,"qty":1e-05}')
    (b'452852100000', b'251')
    """
    level = level[: level.index(END)]
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


class _LevelText(msgspec.Struct, gc=False):
    price: msgspec.Raw
    qty: msgspec.Raw


class _BookText(msgspec.Struct, gc=False):
    bids: list[_LevelText]
    asks: list[_LevelText]


class _MessageText(msgspec.Struct, gc=False):
    data: tuple[_BookText]


_decode_book = msgspec.json.Decoder(_BookText).decode
_decode_message = msgspec.json.Decoder(_MessageText).decode

_BIDS, _NO_BIDS, _PRICE = b'"bids":[', b'"bids":[],"asks":[', b'{"price":'
_QUOTES = 24
"""How many a usual message without levels has. Each level adds four."""


def level_texts(text: bytes, bids: int, asks: int, *, is_message: bool) -> tuple[list[Text], list[Text]]:
    """The bids and the asks of one book, as they are written.

    Args:
        text: a message that tells of one book, or what one tells of it.
        bids: how many there are.
        asks: the same.
        is_message: which of the two it is.

    Raises:
        msgspec.ValidationError: it is neither.
    """
    if is_message:
        head, *texts = text.split(_PRICE)
        as_usual = len(texts) == bids + asks and head.endswith(_BIDS if bids else _NO_BIDS)
        if as_usual and text.count(b'"') == _QUOTES + 4 * len(texts) and len(text.split()) == 1:
            return texts[:bids], texts[bids:]
    book = _decode_message(text).data[0] if is_message else _decode_book(text)
    return _joined(book.bids), _joined(book.asks)


def _joined(side: list[_LevelText]) -> list[Text]:
    return [bytes(level.price) + QUANTITY + bytes(level.qty) + END for level in side]
