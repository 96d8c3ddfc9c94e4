"""A local limit order book, built from a snapshot and numbered diffs.

Source of the numbering rules: Binance spot WebSocket documentation, "How to manage a local order book correctly".
"""

from collections.abc import MutableSequence

from tickfence.analytics.book_side import BookSide, Levels


class BookGap(Exception):
    """A diff does not connect to the book: at least one update was missed.

    Attributes:
        expected: the highest first update id that connects (the book's last id + 1).
        got: the first update id of the diff.
    """

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(
            f"order book gap: the diff starts at update id {got}, must start at or before {expected}; load a snapshot"
        )
        self.expected = expected
        self.got = got


class BookNotInSync(Exception):
    """A diff was applied to a book without a snapshot, or with a gap since its last snapshot."""

    def __init__(self) -> None:
        super().__init__("order book is not in sync: load() a snapshot before apply()")


class OrderBook:
    """Both sides of one symbol's book, by price.

    The caller makes sure that prices and quantities are positive finite numbers. Not thread-safe.

    A snapshot has a limited number of levels, and the exchange tells no changes of the deepest ones. So each side is known
    up to its horizon only, see BookSide.

    Attributes:
        bids, asks: the two sides.
        in_sync: False before the first snapshot and after a gap. Set it to False if you know that the book is wrong.
        last_update_id: id of the last update in the book, 0 before the first snapshot.

    Example:
        >>> book = OrderBook()
        >>> book.load(10, [(99.0, 1.0)], [(101.0, 2.0)])
        >>> book.apply(11, 12, [(100.0, 3.0)], [(101.0, 0.0), (102.0, 1.0)])
        True
        >>> book.best_bid, book.best_ask
        ((100.0, 3.0), (102.0, 1.0))
    """

    __slots__ = ("asks", "bids", "in_sync", "last_update_id")

    def __init__(self) -> None:
        self.in_sync = False
        self.last_update_id = 0
        self.bids = BookSide(1.0)
        self.asks = BookSide(-1.0)

    def load(
        self,
        last_update_id: int,
        bids: Levels,
        asks: Levels,
        lowest_bid: float | None = None,
        highest_ask: float | None = None,
        told: int | None = None,
    ) -> None:
        """Replaces the whole book by a snapshot; the book is in sync afterwards.

        Args:
            last_update_id: id of the last update the snapshot includes.
            bids, asks: (price, quantity) pairs in any order. Quantity 0 is ignored; the last of equal prices counts.
            lowest_bid, highest_ask: the price up to which the snapshot has every level; None if it has all of that side.
            told: of so many best levels a side the exchange tells every change, and of no others; None if it tells of those
                up to the horizon.
        """
        self.bids.load(bids, lowest_bid, told)
        self.asks.load(asks, highest_ask, told)
        self.last_update_id = last_update_id
        self.in_sync = True

    def apply(
        self,
        first_update_id: int,
        last_update_id: int,
        bids: Levels,
        asks: Levels,
        log: MutableSequence[float] | None = None,
    ) -> bool:
        """Applies one diff: the absolute quantities of the levels that changed.

        Because quantities are absolute, a diff may overlap the book, as the first diff after a snapshot does, and diffs
        of two redundant feeds. It must not leave a gap.

        Args:
            first_update_id, last_update_id: the diff's `U` and `u`.
            bids, asks: (price, quantity) pairs; quantity 0 removes the level. Levels beyond the horizon are ignored.
            log: if given, three numbers per level are appended to it: signed price (minus the price for an ask), the
                quantity before (0 without a level) and the new quantity; bids first, then asks, in the given order. A level
                that was beyond the horizon is left out.

        Returns:
            False if the whole diff is older than the book and was ignored, else True.

        Raises:
            BookGap: the diff starts after the book's next id; the book is unchanged and no longer in sync.
            BookNotInSync: no snapshot was loaded, or none since the last gap.
        """
        if not self.in_sync:
            raise BookNotInSync
        if last_update_id <= self.last_update_id:
            return False
        if first_update_id > self.last_update_id + 1:
            self.in_sync = False
            raise BookGap(self.last_update_id + 1, first_update_id)
        self.bids.update(bids, log)
        self.asks.update(asks, log)
        self.last_update_id = last_update_id
        return True

    @property
    def best_bid(self) -> tuple[float, float] | None:
        """(price, quantity) of the highest bid; None without bids."""
        return self.bids.best

    @property
    def best_ask(self) -> tuple[float, float] | None:
        """(price, quantity) of the lowest ask; None without asks."""
        return self.asks.best

    @property
    def crossed(self) -> bool:
        """True if the best bid is at or above the best ask. No exchange has such a book, so it is wrong."""
        return self.bids.meets(self.asks)

    def knows(self, n: int) -> bool:
        """True if the n best levels of each side are known, or all that there are."""
        return self.bids.knows(n) and self.asks.knows(n)

    @property
    def near_horizon(self) -> bool:
        """True if a side will soon know too few levels, so that the book needs another snapshot."""
        return self.bids.near_horizon or self.asks.near_horizon

    def widen(self, other: "OrderBook") -> bool:
        """Takes over the sides that the other book knows further; returns whether there was one.

        Args:
            other: the same book at the same update, from another snapshot.
        """
        bids, asks = other.bids.reaches_beyond(self.bids), other.asks.reaches_beyond(self.asks)
        if bids:
            self.bids = other.bids
        if asks:
            self.asks = other.asks
        return bids or asks

    def top(self, n: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """The n best levels of each side: (bids, asks) as (price, quantity) pairs, best first."""
        return list(zip(*self.bids.top(n), strict=True)), list(zip(*self.asks.top(n), strict=True))

    def levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """The whole book: (bids, asks) as (price, quantity) pairs, best first."""
        return self.top(max(len(self.bids), len(self.asks)))

    def __len__(self) -> int:
        """Number of levels on both sides together."""
        return len(self.bids) + len(self.asks)
