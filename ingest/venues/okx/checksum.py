"""OKX's proof of an order book: the CRC32 of its best 25 levels, where the exchange sends one.

Source: https://www.okx.com/docs-v5/en/, "WS / Order book channel", "Checksum". Since June 2026 the exchange sends 0, which
is no checksum; its sequence ids are the proof then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from ingest.events import BookSnapshot, Diff, Level
from tickfence.analytics.book import OrderBook

LEVELS = 25

LevelText = tuple[str, str, str, str]
"""Price, quantity, "0" and the number of orders, as the exchange has written them."""


class Proof(NamedTuple):
    """What comes with a message of the book.

    Attributes:
        checksum: of the book after it, as a signed number of 32 bits.
        bids: the levels of the message in its order, as text.
        asks: the same.
    """

    checksum: int
    bids: Sequence[LevelText]
    asks: Sequence[LevelText]


class BookChecksum:
    """The texts of one book's levels, and their checksum.

    The exchange computes it over its own texts: 8476.0 and 8476 are one price and two checksums. A message without a
    checksum comes without texts. After one, nothing can be checked until the next snapshot that has them. The exchange
    names each level that leaves its best 400, so there are never more texts.
    """

    __slots__ = ("_asks", "_bids", "_expected")

    def __init__(self) -> None:
        self._bids: dict[float, str] = {}
        self._asks: dict[float, str] = {}
        self._expected: int | None = None  # the newest checksum; None if the texts are not complete

    def load(self, snapshot: BookSnapshot) -> None:
        """Start again with a snapshot."""
        self._bids.clear()
        self._asks.clear()
        self._expected = None
        if isinstance(snapshot.proof, Proof):
            self._add(snapshot.depth.bids, snapshot.depth.asks, snapshot.proof)

    def apply(self, diff: Diff) -> None:
        """Take in what the book has just applied."""
        if not isinstance(diff.proof, Proof):
            self._expected = None
        elif self._expected is not None:
            self._add(diff.bids, diff.asks, diff.proof)

    def holds(self, book: OrderBook) -> bool:
        """Whether the book is the one that the exchange has computed its newest checksum over."""
        if self._expected is None:
            return True
        (bid_prices, _), (ask_prices, _) = book.bids.top(LEVELS), book.asks.top(LEVELS)
        try:
            bids, asks = [*map(self._bids.__getitem__, bid_prices)], [*map(self._asks.__getitem__, ask_prices)]
        except KeyError:
            return False  # a level that the texts lack
        return self._expected == checksum(bids, asks)

    def _add(self, bids: Sequence[Level], asks: Sequence[Level], proof: Proof) -> None:
        for known, levels, texts in ((self._bids, bids, proof.bids), (self._asks, asks, proof.asks)):
            for (price, quantity), text in zip(levels, texts, strict=True):
                if quantity:
                    known[price] = f"{text[0]}:{text[1]}"
                else:
                    known.pop(price, None)
        self._expected = proof.checksum


def checksum(bids: Sequence[str], asks: Sequence[str]) -> int:
    """The checksum of levels like ``8476.98:415``, best first: a bid and an ask in turn.

    Example:
        >>> checksum(["3366.1:7"], ["3366.8:9", "3368:8"]) == checksum(["3366.1:7"], ["3366.8:9:3368:8"])
        True
    """
    both = min(len(bids), len(asks))
    in_turn = [*bids, *asks]
    in_turn[: 2 * both : 2], in_turn[1 : 2 * both : 2] = bids[:both], asks[:both]
    in_turn[2 * both :] = [*bids[both:], *asks[both:]]
    unsigned = crc32(":".join(in_turn).encode())
    return unsigned - 2**32 if unsigned >= 2**31 else unsigned
