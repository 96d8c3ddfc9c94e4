"""One symbol's order book, kept by the exchange's documented procedure. No I/O.

Source: Binance spot WebSocket documentation, "How to manage a local order book correctly":
buffer the diffs, take a snapshot, drop the diffs it includes, check that the rest connect,
and start again on a gap.

The procedure's answer to doubt is always the same: the book is out of sync, nothing of it is
published, a snapshot is needed. A reconnect needs no special case: if the first diff of the
new connection connects, nothing was missed.
"""

from __future__ import annotations

from collections import deque

from ingest.events import INFINITY, Depth, Diff, Reason, Rejected
from tickfence.analytics.book import BookGap, OrderBook
from tickfence.instrument import Instrument

MAX_WAITING = 5_000
"""Diffs kept while a snapshot is on its way: over eight minutes of one symbol."""

NEEDED_LEVELS = 40
"""Levels a side that must be known for sure; a report shows 20."""


class BookSync:
    """The state of one symbol: its book, and the diffs that wait for a snapshot.

    ``why`` says what a snapshot is needed for now; None means the book is in sync.
    ``received_ms`` is when the newest update in the book was received.
    """

    __slots__ = (
        *("_highest_ask", "_lowest_bid", "_seen_id", "_seen_ms", "_waiting"),
        *("book", "received_ms", "symbol", "why"),
    )

    def __init__(self, symbol: Instrument) -> None:
        self.symbol = symbol
        self.book = OrderBook()
        self.why: str | None = "start"
        self.received_ms = 0
        self._seen_id = 0  # of the feed's newest diff, which a snapshot may be ahead of
        self._seen_ms = 0
        self._lowest_bid = 0.0
        self._highest_ask = INFINITY
        self._waiting: deque[tuple[Diff, int]] = deque()

    @property
    def in_sync(self) -> bool:
        """True while the book is known to be right."""
        return self.why is None

    def on_diff(self, diff: Diff, received_ms: int) -> bool:
        """Take the next diff of the feed; True when it is to be published, False when it waits or is a copy.

        :raises Rejected: the diff cannot be true, or makes a book that cannot be; a snapshot is needed now.
        """
        seen_id = self._seen_id
        if diff.last_update_id <= seen_id:
            if diff.time_ms <= self._seen_ms:
                return False  # the second copy of a diff, as two connections deliver it
            self._seen_id, self._seen_ms = diff.last_update_id, diff.time_ms
            self.why = self.why or Reason.UPDATE_ID_BACK
            self._waiting.clear()
            self._waiting.append((diff, received_ms))
            raise Rejected(Reason.UPDATE_ID_BACK, f"{self.symbol} u={diff.last_update_id} after {seen_id}")
        self._seen_id, self._seen_ms = diff.last_update_id, max(self._seen_ms, diff.time_ms)
        if self.why is not None:
            self._wait(diff, received_ms)
            return False
        if diff.last_update_id <= self.book.last_update_id:
            return False  # the snapshot was ahead of the feed
        try:
            self._apply(diff, received_ms)
        except BookGap:
            self.lose("gap")
            self._wait(diff, received_ms)
            return False
        return True

    def on_depth(self, depth: Depth, received_ms: int) -> list[tuple[Diff, int]] | None:
        """Take a snapshot; returns the waiting diffs it does not include, with their times of receipt, to be published.

        Returns None when the snapshot is of no use, because it is older than the first waiting
        diff: another one is needed, as `why` goes on saying. A snapshot of a book that is in
        sync is of no use either, and changes nothing.

        :raises Rejected: the book it makes cannot be.
        """
        if self.why is None:
            return None
        waiting = self._waiting
        while waiting and waiting[0][0].last_update_id <= depth.last_update_id:
            waiting.popleft()
        if waiting and waiting[0][0].first_update_id > depth.last_update_id + 1:
            return None
        diffs = list(waiting)
        waiting.clear()
        self.why = None
        self.book.load(depth.last_update_id, depth.bids, depth.asks)
        self.received_ms = received_ms
        self._lowest_bid, self._highest_ask = depth.lowest_bid, depth.highest_ask
        for diff, diff_received_ms in diffs:
            self._apply(diff, diff_received_ms)
        return diffs

    def lose(self, why: str) -> None:
        """The book may be wrong from here on, for the reason given: start the procedure again."""
        if self.why is None:
            self.why = why
            self._waiting.clear()

    def shallow(self) -> bool:
        """True when the market moved so far that levels near the best may be missing.

        A snapshot is cut to so many levels; what lies beyond is known only where it changed since.
        """
        bids, asks = self.book.top(NEEDED_LEVELS)
        return bool(bids and bids[-1][0] < self._lowest_bid) or bool(asks and asks[-1][0] > self._highest_ask)

    def _wait(self, diff: Diff, received_ms: int) -> None:
        waiting = self._waiting
        gap = waiting and diff.first_update_id > waiting[-1][0].last_update_id + 1
        if gap or len(waiting) >= MAX_WAITING:
            waiting.clear()
        waiting.append((diff, received_ms))

    def _apply(self, diff: Diff, received_ms: int) -> None:
        book = self.book
        book.apply(diff.first_update_id, diff.last_update_id, diff.bids, diff.asks)
        self.received_ms = received_ms
        if book.crossed:
            self.lose(Reason.CROSSED_BOOK)
            raise Rejected(Reason.CROSSED_BOOK, f"{self.symbol} bid {book.best_bid} ask {book.best_ask}")
