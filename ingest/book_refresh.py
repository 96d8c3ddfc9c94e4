"""A fresh snapshot for a book that stays in use. No I/O.

The book goes on while the snapshot is on its way. Then the snapshot is brought to the book's update by the diffs that came
since it was asked for. So both can be compared, and one can take the other's place without a gap in the stream.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ingest.events import Depth, Diff
from tickfence.analytics.book import OrderBook
from tickfence.analytics.book_side import Difference

MAX_DIFFS = 300
"""How many of the newest diffs are remembered: half a minute of one symbol. A snapshot is far younger when it arrives."""


class Refreshed(NamedTuple):
    """What a book has gained from a fresh snapshot.

    Attributes:
        wider: the book knows deeper levels now.
        bids: where the book was wrong, best first.
        asks: the same.
    """

    wider: bool
    bids: list[Difference]
    asks: list[Difference]

    @property
    def wrong(self) -> bool:
        """Whether the book was not what the exchange says."""
        return bool(self.bids or self.asks)


class Refresh:
    """The diffs that a book got since a snapshot was asked for, and the snapshot once it is here.

    Attributes:
        depth: the snapshot; ``None`` while it is on its way.
    """

    __slots__ = ("_diffs", "depth")

    def __init__(self) -> None:
        self.depth: Depth | None = None
        self._diffs: deque[Diff] = deque(maxlen=MAX_DIFFS)

    def add(self, diff: Diff) -> None:
        """Remember a diff that the book has got."""
        self._diffs.append(diff)

    def take(self, depth: Depth, update_id: int) -> bool:
        """Take the snapshot for a book at ``update_id``; return False if it is older than the diffs remembered."""
        diffs = self._diffs
        while diffs and diffs[0].last_update_id <= depth.last_update_id:
            diffs.popleft()
        connects = depth.last_update_id >= update_id or (diffs and diffs[0].first_update_id <= depth.last_update_id + 1)
        if connects:
            self.depth = depth
        return bool(connects)

    @property
    def too_far_ahead(self) -> bool:
        """Whether the feed does not come to the snapshot: it is from before the exchange started its update ids again."""
        return self.depth is not None and len(self._diffs) == MAX_DIFFS

    def book_at(self, update_id: int) -> OrderBook | None:
        """The snapshot brought to ``update_id``; ``None`` while the feed is behind the snapshot."""
        depth = self.depth
        if depth is None or update_id < depth.last_update_id:
            return None
        book = OrderBook()
        book.load(depth.last_update_id, depth.bids, depth.asks, depth.lowest_bid, depth.highest_ask)
        for diff in self._diffs:
            book.apply(diff.first_update_id, diff.last_update_id, diff.bids, diff.asks)
        return book
