"""The proof of Kraken's order books: a CRC32 of the ten best levels a side.

Source: https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2. The sum is over the numbers as they are
written: of each level, the digits of its price and of its quantity without the point and without leading zeros; asks
from the lowest price up, then bids from the highest down.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import msgspec

from ingest.events import BookSnapshot, Diff
from ingest.level_texts import LevelTexts
from ingest.venues.kraken.numbers import END, QUANTITY, Text, digits
from tickfence.analytics.book import OrderBook

LEVELS = 10


class Checksum(msgspec.Struct, frozen=True, gc=False):
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
        self._bids, self._asks = _side(1.0, ()), _side(-1.0, ())
        self._value = 0

    def load(self, snapshot: BookSnapshot) -> None:
        """Start from a snapshot."""
        proof, depth = snapshot.proof, snapshot.depth
        assert type(proof) is Checksum
        self._value = proof.value
        self._bids, self._asks = _side(1.0, proof.bids), _side(-1.0, proof.asks)
        self._bids.load(depth.bids, proof.bids)
        self._asks.load(depth.asks, proof.asks)

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
        if bids is None or asks is None:
            return False
        return crc32(b"".join(bids), crc32(b"".join(asks))) == self._value


def _side(sign: float, texts: Sequence[Text]) -> LevelTexts:
    """The exchange writes all levels of a side with the same numbers of decimals."""
    first = texts[0].partition(END)[0].split(QUANTITY) if texts else (b"", b"")
    form = QUANTITY.join(b"%%.%df" % len(number.partition(b".")[2]) for number in first)
    return LevelTexts(sign, LEVELS, digits, form + END)
