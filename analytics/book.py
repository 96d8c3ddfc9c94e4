"""A local limit order book, kept from a snapshot and numbered diffs.

Source of the numbering rules: Binance spot WebSocket documentation, "How to manage a local order book correctly".
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

Levels = Iterable[Sequence[float]]
"""Price levels as (price, quantity) pairs; quantity 0 removes the level."""


class BookGap(Exception):
    """A diff does not connect to the book: at least one update was missed.

    Attributes:
        expected: the highest first update id that would have connected (the book's last id + 1).
        got: the first update id of the diff that was given.
    """

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(
            f"order book gap: the diff starts at update id {got}, must start at or before {expected}; load a snapshot"
        )
        self.expected = expected
        self.got = got


class BookNotInSync(Exception):
    """A diff was applied to a book that has no snapshot yet, or had a gap since."""

    def __init__(self) -> None:
        super().__init__("order book is not in sync: load() a snapshot before apply()")


class OrderBook:
    """Both sides of one symbol's book, by price.

    Each side is a sorted list of prices whose best price is at the *end* (bids ascending, asks negated), where most
    updates happen and an insertion moves least memory, beside a dict price -> quantity. Levels are taken as they are:
    positive finite numbers are the caller's duty. Not safe for use by several threads.

    Example:
        >>> book = OrderBook()
        >>> book.load(10, [(99.0, 1.0)], [(101.0, 2.0)])
        >>> book.apply(11, 12, [(100.0, 3.0)], [(101.0, 0.0), (102.0, 1.0)])
        True
        >>> book.best_bid, book.best_ask
        ((100.0, 3.0), (102.0, 1.0))
    """

    __slots__ = ("_ask_keys", "_ask_quantities", "_bid_keys", "_bid_quantities", "in_sync", "last_update_id")

    def __init__(self) -> None:
        self.in_sync = False
        self.last_update_id = 0
        self._bid_keys: list[float] = []
        self._bid_quantities: dict[float, float] = {}
        self._ask_keys: list[float] = []
        self._ask_quantities: dict[float, float] = {}

    def load(self, last_update_id: int, bids: Levels, asks: Levels) -> None:
        """Replaces the whole book by a snapshot, in any order of levels; the book is in sync afterwards.

        Args:
            last_update_id: id of the last update the snapshot includes.
            bids, asks: (price, quantity) pairs; a quantity of 0 is left out, of two equal prices the last one counts.
        """
        self._bid_quantities = {price: quantity for price, quantity in bids if quantity > 0}
        self._bid_keys = sorted(self._bid_quantities)
        self._ask_quantities = {-price: quantity for price, quantity in asks if quantity > 0}
        self._ask_keys = sorted(self._ask_quantities)
        self.last_update_id = last_update_id
        self.in_sync = True

    def apply(
        self,
        first_update_id: int,
        last_update_id: int,
        bids: Levels,
        asks: Levels,
        replaced: list[float] | None = None,
    ) -> bool:
        """Applies one diff: absolute quantities of the levels that changed.

        Diffs may overlap the book (the first one after a snapshot does, and so do two redundant feeds), since
        quantities are absolute; they may not leave a gap.

        Args:
            first_update_id, last_update_id: the diff's `U` and `u`.
            bids, asks: (price, quantity) pairs; quantity 0 removes the level.
            replaced: where given, the quantity that stood at each level before is appended to it (0 for none),
                bids first, then asks, in the order given.

        Returns:
            False when the diff is wholly older than the book and was ignored, else True.

        Raises:
            BookGap: the diff starts beyond the book's next id; the book is unchanged and no longer in sync.
            BookNotInSync: no snapshot was loaded, or none since the last gap.
        """
        if not self.in_sync:
            raise BookNotInSync
        if last_update_id <= self.last_update_id:
            return False
        if first_update_id > self.last_update_id + 1:
            self.in_sync = False
            raise BookGap(self.last_update_id + 1, first_update_id)
        _update_side(self._bid_keys, self._bid_quantities, 1.0, bids, replaced)
        _update_side(self._ask_keys, self._ask_quantities, -1.0, asks, replaced)
        self.last_update_id = last_update_id
        return True

    @property
    def best_bid(self) -> tuple[float, float] | None:
        """(price, quantity) of the highest bid, None when there is none."""
        if not self._bid_keys:
            return None
        price = self._bid_keys[-1]
        return price, self._bid_quantities[price]

    @property
    def best_ask(self) -> tuple[float, float] | None:
        """(price, quantity) of the lowest ask, None when there is none."""
        if not self._ask_keys:
            return None
        key = self._ask_keys[-1]
        return -key, self._ask_quantities[key]

    @property
    def crossed(self) -> bool:
        """True when the best bid is at or above the best ask: a book no exchange can have, so a wrong one."""
        return bool(self._bid_keys and self._ask_keys and self._bid_keys[-1] >= -self._ask_keys[-1])

    def top(self, n: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """The n best levels of each side: (bids, asks), (price, quantity) pairs, best first."""
        bid_quantities, ask_quantities = self._bid_quantities, self._ask_quantities
        return (
            [(price, bid_quantities[price]) for price in self._bid_keys[: -n - 1 : -1]],
            [(-key, ask_quantities[key]) for key in self._ask_keys[: -n - 1 : -1]],
        )

    def levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """The whole book: (bids, asks), (price, quantity) pairs, best first."""
        return self.top(max(len(self._bid_keys), len(self._ask_keys)))

    def bid_quantity(self, price: float) -> float:
        """Quantity bid at exactly this price, 0 where there is no level."""
        return self._bid_quantities.get(price, 0.0)

    def ask_quantity(self, price: float) -> float:
        """Quantity asked at exactly this price, 0 where there is no level."""
        return self._ask_quantities.get(-price, 0.0)

    def __len__(self) -> int:
        """Number of levels on both sides together."""
        return len(self._bid_keys) + len(self._ask_keys)


def _update_side(
    keys: list[float], quantities: dict[float, float], sign: float, levels: Levels, replaced: list[float] | None
) -> None:
    for price, quantity in levels:
        key = price * sign
        before = quantities.get(key, 0.0)
        if replaced is not None:
            replaced.append(before)
        if quantity > 0:
            quantities[key] = quantity
            if not before:
                insort(keys, key)
        elif before:
            del quantities[key]
            del keys[bisect_left(keys, key)]
