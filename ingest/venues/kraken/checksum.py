"""The proof of Kraken's order books: a CRC32 of the ten best levels a side.

Source: https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2. The sum is over the numbers as they are
written: of each level, the digits of its price and of its quantity without the point and without leading zeros; asks
from the lowest price up, then bids from the highest down.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from ingest.events import BookSnapshot, Diff, Level
from ingest.venues.kraken.numbers import QUANTITY, Text, digits
from tickfence.analytics.book import OrderBook
from tickfence.analytics.book_side import BookSide

LEVELS = 10
AT_HAND = 50
"""Best levels of a side whose digits are at hand when they are taken anew. Later they are down to `LEVELS`, or up to twice as
many."""
KEPT = 3_000
"""Levels written otherwise that are kept. The book has fewer; more are of prices that it has cut off."""


class Checksum(NamedTuple):
    """What a message of the book proves.

    Attributes:
        value: the exchange's sum, after the message.
        bids: each bid of the message as it is written, in its order.
        asks: the same.
    """

    value: int
    bids: Sequence[Text]
    asks: Sequence[Text]


class ChecksumProof:
    """One book's newest sum, and the texts of its levels."""

    __slots__ = ("_asks", "_bids", "_value")

    def __init__(self) -> None:
        self._bids, self._asks = _Side(1.0, (), ()), _Side(-1.0, (), ())
        self._value = 0

    def load(self, snapshot: BookSnapshot) -> None:
        """Start from a snapshot."""
        proof, depth = snapshot.proof, snapshot.depth
        assert type(proof) is Checksum
        self._value = proof.value
        self._bids, self._asks = _Side(1.0, depth.bids, proof.bids), _Side(-1.0, depth.asks, proof.asks)

    def apply(self, diff: Diff) -> None:
        """Take what a diff changes."""
        proof = diff.proof
        assert type(proof) is Checksum
        self._value = proof.value
        if proof.bids:
            self._bids.set(diff.bids, proof.bids)
        if proof.asks:
            self._asks.set(diff.asks, proof.asks)

    def holds(self, book: OrderBook) -> bool:
        """Whether the book's best levels have the newest sum."""
        bids, asks = self._bids.best(book.bids), self._asks.best(book.asks)
        return bids is not None and asks is not None and crc32(bids, crc32(asks)) == self._value


class _Side:
    """How the levels of one side are written.

    The digits of the best levels are at hand, the best one last, as in a `BookSide`. The exchange writes all levels of a
    book with the same numbers of decimals. So how a deeper level is written follows from its numbers, and what is written
    otherwise, or has more digits than a float, is kept as it is.
    """

    __slots__ = ("_best", "_digits", "_floor", "_form", "_keys", "_odd", "_sign")

    def __init__(self, sign: float, levels: Sequence[Level], texts: Sequence[Text]) -> None:
        self._sign = sign
        first = texts[0].split(QUANTITY) if texts else (b"", b"")
        self._form = QUANTITY.join(b"%%.%df" % len(number.partition(b".")[2]) for number in first)
        self._odd: dict[float, bytes] = {}
        self._keys: list[float] = []
        self._digits: list[bytes] = []
        self._floor = math.inf  # levels with lower keys are not at hand
        self._best: bytes | None = None
        self.set(levels, texts)

    def set(self, levels: Sequence[Level], texts: Sequence[Text]) -> None:
        """Take levels as they are written."""
        sign, floor, keys, at_hand = self._sign, self._floor, self._keys, self._digits
        for level, text in zip(levels, texts, strict=True):
            price, quantity = level
            key = price * sign
            if key < floor:
                if quantity and self._form % level != text:
                    self._odd[price] = digits(text)
                elif self._odd:
                    self._odd.pop(price, None)
                continue
            self._best = None
            place = bisect_left(keys, key)
            if place < len(keys) and keys[place] == key:
                if quantity:
                    at_hand[place] = digits(text)
                else:
                    del keys[place], at_hand[place]
            elif quantity:
                keys.insert(place, key)
                at_hand.insert(place, digits(text))

    def best(self, side: BookSide) -> bytes | None:
        """The digits of the best levels, as the sum has them; ``None`` if the best level is not that of ``side``."""
        if self._best is None:
            if (len(self._keys) < LEVELS and self._floor > -math.inf) or len(self._keys) > 2 * AT_HAND:
                self._take_anew(side)
            level, keys = side.best, self._keys
            if (level[0] * self._sign if level else None) != (keys[-1] if keys else None):
                return None
            self._best = b"".join(self._digits[: -LEVELS - 1 : -1])
        return self._best

    def _take_anew(self, side: BookSide) -> None:
        """Have the digits of as many levels at hand as at first."""
        sign, odd, at_hand = self._sign, self._odd, dict(zip(self._keys, self._digits, strict=True))
        levels = list(zip(*side.top(AT_HAND), strict=True))
        levels.reverse()
        self._keys = [price * sign for price, _ in levels]
        self._digits = [
            at_hand.pop(price * sign, b"") or odd.pop(price, b"") or self._usual(price, quantity)
            for price, quantity in levels
        ]
        self._floor = self._keys[0] if len(side) > AT_HAND else -math.inf
        odd |= {
            key * sign: kept
            for key, kept in at_hand.items()
            if kept != self._usual(key * sign, side.quantity(key * sign))
        }
        if len(odd) > KEPT:
            self._odd = {price: kept for price, kept in odd.items() if side.quantity(price)}

    def _usual(self, price: float, quantity: float) -> bytes:
        return digits(self._form % (price, quantity))
