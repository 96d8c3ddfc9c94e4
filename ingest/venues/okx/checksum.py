"""OKX's proof of an order book: the CRC32 of its best 25 levels, where the exchange sends one.

Source: https://www.okx.com/docs-v5/en/, "WS / Order book channel", "Checksum". Since June 2026 the exchange sends 0, which
is no checksum; its sequence ids are the proof then.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import msgspec

from ingest.events import BookSnapshot, Diff
from ingest.level_texts import LevelTexts
from tickfence.analytics.book import OrderBook

LEVELS = 25


class Proof(msgspec.Struct, frozen=True, gc=False):
    """What comes with a message of the book.

    Attributes:
        checksum: of the book after it, as a signed number of 32 bits.
        bids: the levels of the message in its order, as the exchange has written them: quoted, price and quantity first.
        asks: the same.
    """

    checksum: int
    bids: Sequence[bytes]
    asks: Sequence[bytes]


class BookChecksum:
    """The texts of one book's levels, and their checksum.

    The exchange computes it over its own texts: 8476.0 and 8476 are one price and two checksums. A message without a
    checksum comes without texts. After one, nothing can be checked until the next snapshot that has them. The exchange
    names each level that leaves its best 400, so there are never more texts.
    """

    __slots__ = ("_asks", "_bids", "_expected")

    def __init__(self) -> None:
        self._bids, self._asks = _side(1.0), _side(-1.0)
        self._expected: int | None = None  # the newest checksum; None if the texts are not complete

    def load(self, snapshot: BookSnapshot) -> None:
        """Start again with a snapshot."""
        self._bids, self._asks = _side(1.0), _side(-1.0)
        self._expected = None
        if isinstance(snapshot.proof, Proof):
            self._bids.load(snapshot.depth.bids, snapshot.proof.bids)
            self._asks.load(snapshot.depth.asks, snapshot.proof.asks)
            self._expected = snapshot.proof.checksum

    def apply(self, diff: Diff) -> None:
        """Take in what the book has just applied."""
        proof = diff.proof
        if not isinstance(proof, Proof):
            self._expected = None
        elif self._expected is not None:
            self._expected = proof.checksum
            self._bids.set(diff.bids, proof.bids)
            self._asks.set(diff.asks, proof.asks)

    def holds(self, book: OrderBook) -> bool:
        """Whether the book is the one that the exchange has computed its newest checksum over."""
        if self._expected is None:
            return True
        bids, asks = self._bids.best(book.bids), self._asks.best(book.asks)
        return bids is not None and asks is not None and self._expected == checksum(bids, asks)


def _side(sign: float) -> LevelTexts:
    return LevelTexts(sign, LEVELS, _part)


def _part(text: bytes) -> bytes:
    """A level as the checksum has it.

    >>> _part(b'"8476.98","415","0","13"')
    b'8476.98:415'
    """
    _, price, _, quantity, _ = text.split(b'"', 4)
    return b"%b:%b" % (price, quantity)


def checksum(bids: Sequence[bytes], asks: Sequence[bytes]) -> int:
    """The checksum of levels like ``8476.98:415``, best first: a bid and an ask in turn.

    Example:
        >>> checksum([b"3366.1:7"], [b"3366.8:9", b"3368:8"]) == checksum([b"3366.1:7"], [b"3366.8:9:3368:8"])
        True
    """
    both = min(len(bids), len(asks))
    in_turn = [*bids, *asks]
    in_turn[: 2 * both : 2], in_turn[1 : 2 * both : 2] = bids[:both], asks[:both]
    in_turn[2 * both :] = [*bids[both:], *asks[both:]]
    unsigned = crc32(b":".join(in_turn))
    return unsigned - 2**32 if unsigned >= 2**31 else unsigned
