"""The proof of Kraken's order books: a CRC32 of the ten best levels a side.

Source: https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2. The sum is over the numbers as they are
written: of each level, the digits of its price and of its quantity without the point and without leading zeros; asks
from the lowest price up, then bids from the highest down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zlib import crc32

from ingest.events import BookSnapshot, Diff, Level
from tickfence.analytics.book import OrderBook

LEVELS = 10
KEPT = 3_000
"""Texts kept of a side. The book has fewer levels; more are of prices that it has cut off."""


class Checksum(NamedTuple):
    """What a message of the book proves.

    Attributes:
        value: the exchange's sum, after the message.
        bids: the digits of each bid of the message, in its order.
        asks: the same.
    """

    value: int
    bids: Sequence[bytes]
    asks: Sequence[bytes]


class ChecksumProof:
    """One book's newest sum, and the digits of its levels."""

    __slots__ = ("_asks", "_bids", "_value")

    def __init__(self) -> None:
        self._bids: dict[float, bytes] = {}
        self._asks: dict[float, bytes] = {}
        self._value = 0

    def load(self, snapshot: BookSnapshot) -> None:
        """Start from a snapshot."""
        self._bids, self._asks = {}, {}
        self._take(snapshot.proof, snapshot.depth.bids, snapshot.depth.asks)

    def apply(self, diff: Diff) -> None:
        """Take what a diff changes."""
        self._take(diff.proof, diff.bids, diff.asks)

    def holds(self, book: OrderBook) -> bool:
        """Whether the book's best levels have the newest sum."""
        bids, asks = self._bids, self._asks
        if len(bids) > KEPT or len(asks) > KEPT:
            self._bids = bids = _only(bids, book.bids.top(len(book.bids))[0])
            self._asks = asks = _only(asks, book.asks.top(len(book.asks))[0])
        try:
            best = [asks[price] for price in book.asks.top(LEVELS)[0]]
            best += [bids[price] for price in book.bids.top(LEVELS)[0]]
        except KeyError:
            return False  # a level that no message has told of
        return crc32(b"".join(best)) == self._value

    def _take(self, proof: object, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        assert isinstance(proof, Checksum)
        self._value = proof.value
        _set(self._bids, bids, proof.bids)
        _set(self._asks, asks, proof.asks)


def _set(texts: dict[float, bytes], levels: Iterable[Level], written: Iterable[bytes]) -> None:
    for (price, quantity), text in zip(levels, written, strict=True):
        if quantity:
            texts[price] = text
        else:
            texts.pop(price, None)


def _only(texts: dict[float, bytes], prices: Iterable[float]) -> dict[float, bytes]:
    return {price: texts[price] for price in prices if price in texts}
