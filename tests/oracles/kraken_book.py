"""Kraken's order books from a recording of its WebSocket v1, by its documentation alone: no code of the product.

Source: https://docs.kraken.com/exchange/guides/websockets/book-checksum-v1.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

DEPTH = 1000


class State(NamedTuple):
    """A book after a message.

    Attributes:
        pair: as v1 writes it.
        bids: price to quantity; the same dict after every message.
        asks: the same.
        whole: whether the message was a snapshot.
    """

    pair: str
    bids: dict[float, float]
    asks: dict[float, float]
    whole: bool


class Side:
    """Texts by price, cut to the best 1,000."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.texts: dict[Decimal, tuple[str, str]] = {}
        self.floats: dict[float, float] = {}

    def put(self, levels: list[list[str]]) -> None:
        for price, quantity, *_ in levels:
            if Decimal(quantity):
                self.texts[Decimal(price)] = price, quantity
                self.floats[float(price)] = float(quantity)
            else:
                self.texts.pop(Decimal(price), None)
                self.floats.pop(float(price), None)
        while len(self.texts) > DEPTH:
            worst = min(self.texts, key=lambda price: self.sign * price)
            del self.texts[worst], self.floats[float(worst)]

    def digits(self) -> str:
        best = sorted(self.texts, key=lambda price: -self.sign * price)[:10]
        return "".join(str(int(text.replace(".", ""))) for price in best for text in self.texts[price])


def states(stem: Path) -> Iterator[State]:
    """The book after every message of a book, each checked against the recorded sum."""
    books: dict[str, tuple[Side, Side]] = {}
    for line in Path(f"{stem}.ws").read_text().splitlines():
        message = json.loads(line.split(": ", 1)[1])
        if not isinstance(message, list) or not message[-2].startswith("book-"):
            continue
        *bodies, _, pair = message[1:]
        whole = "as" in bodies[0] or "bs" in bodies[0]
        if whole:
            books[pair] = Side(1), Side(-1)
        bids, asks = books[pair]
        for body in bodies:
            bids.put(body.get("bs", body.get("b", [])))
            asks.put(body.get("as", body.get("a", [])))
        if not whole:
            [recorded] = [int(body["c"]) for body in bodies if "c" in body]
            assert binascii.crc32((asks.digits() + bids.digits()).encode()) == recorded, "the recording itself is right"
        yield State(pair, bids.floats, asks.floats, whole)
