"""One symbol's order book, kept by the exchange's documented procedure. No I/O.

Where snapshots come by REST: buffer the diffs, take a snapshot, drop the diffs it includes, check that the others follow on,
and start again on a gap. Source: Binance spot WebSocket documentation, "How to manage a local order book correctly". Where
they come by stream, a new subscription begins with one, and the diffs after it follow on.

In doubt the book is always out of sync: nothing of it is published, and it needs a snapshot. A reconnect is no special
case: if the first diff of the new connection follows on, nothing was missed.
"""

from __future__ import annotations

from collections import deque

from ingest.book_refresh import Refresh, Refreshed
from ingest.events import BookSnapshot, Depth, Diff, Rejected
from ingest.venue import BookProof, Snapshots
from tickfence.analytics.book import BookGap, OrderBook
from tickfence.analytics.book_side import ALL_LEVELS
from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal, Resync

MAX_WAITING = 5_000
"""Diffs kept while a snapshot is on its way: more than eight minutes of one symbol."""

MAX_AHEAD_MS = 20_000
"""A snapshot that the feed has not come to for longer than this has ids from before the exchange started them again."""


class BookSync:
    """One symbol's book, and the diffs that wait for a snapshot.

    Args:
        symbol: the instrument.
        snapshots: where its snapshots come from.
        told: of snapshots by stream: of how many best levels a side the exchange tells; ``None`` if of all.

    Attributes:
        symbol: the instrument.
        book: the order book; right only while `in_sync`.
        why: why the book needs a snapshot now; ``None`` while it is in sync.
        received_ms: when the newest update in the book was received, ms on the Redis server's clock.
        proof: what shows that the book is right, beyond ids that connect; ``None`` if nothing does.
        refresh: while a fresh snapshot is wanted for a book in sync; else ``None``.
    """

    __slots__ = (
        *("_by_stream", "_number", "_seen_id", "_seen_ms", "_told", "_waiting"),
        *("book", "proof", "received_ms", "refresh", "symbol", "why"),
    )

    def __init__(
        self,
        symbol: Instrument,
        snapshots: Snapshots = Snapshots.REST,
        told: int | None = None,
    ) -> None:
        self.symbol = symbol
        self._by_stream = snapshots is Snapshots.STREAM
        self._told = told
        self.proof: BookProof | None = None
        self._number = 0
        self.book = OrderBook()
        self.why: str | None = "start"
        self.received_ms = 0
        self._seen_id = 0  # of the feed's newest diff, which a snapshot may be ahead of
        self._seen_ms = 0
        self.refresh: Refresh | None = None
        self._waiting: deque[tuple[Diff, int]] = deque()

    @property
    def in_sync(self) -> bool:
        """Whether the book is known to be right."""
        return self.why is None

    @property
    def newest_ms(self) -> int:
        """Exchange time of the newest update that came, ms."""
        return self._seen_ms

    def on_diff(self, diff: Diff, received_ms: int) -> bool:
        """Take the feed's next diff.

        Returns:
            Whether to publish it. If not, it waits for a snapshot, or is a copy.

        Raises:
            Rejected: its update id goes back, or its bids meet its asks; the book needs a snapshot now.
        """
        seen_id = self._seen_id
        if diff.last_update_id <= seen_id:
            if diff.time_ms <= self._seen_ms:
                return False  # the second copy: two connections deliver it
            self._seen_id, self._seen_ms = diff.last_update_id, diff.time_ms
            self.lose(Refusal.UPDATE_ID_BACK)
            self._waiting.clear()
            self._waiting.append((diff, received_ms))
            raise Rejected(Refusal.UPDATE_ID_BACK, f"{self.symbol} u={diff.last_update_id} after {seen_id}")
        self._seen_id, self._seen_ms = diff.last_update_id, max(self._seen_ms, diff.time_ms)
        if self.why is not None:
            self._wait(diff, received_ms)
            return False
        if diff.last_update_id <= self.book.last_update_id:
            if received_ms - self.received_ms > MAX_AHEAD_MS:
                self.lose(Refusal.UPDATE_ID_BACK)
                self._wait(diff, received_ms)
            return False  # the snapshot was ahead of the feed
        try:
            self._apply(diff, received_ms)
        except BookGap:
            self.lose(Resync.GAP)
            self._wait(diff, received_ms)
            return False
        if self.refresh is not None:
            self.refresh.add(diff)
        return True

    def on_depth(self, depth: Depth, received_ms: int) -> list[tuple[Diff, int]] | None:
        """Take a snapshot of a book that is out of sync.

        Returns:
            The waiting diffs that it does not include, each with its time of receipt: publish them. ``None`` if the
            snapshot changes nothing: it is older than the first waiting diff, so the book needs another one and `why`
            stays; or the book is in sync.

        Raises:
            Rejected: with it, the bids meet the asks.
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
        self.book.load(depth.last_update_id, depth.bids, depth.asks, depth.lowest_bid, depth.highest_ask)
        self.received_ms = received_ms
        for diff, diff_received_ms in diffs:
            self._apply(diff, diff_received_ms)
        return diffs

    def number(self, diff: Diff) -> Diff:
        """The feed's next diff with a number, where the exchange gives none."""
        self._number += 1
        return Diff(diff.symbol, diff.time_ms, self._number, self._number, diff.bids, diff.asks, diff.proof)

    def renumber(self, update_id: int) -> None:
        """Let the book as it is have this number, where the exchange gives none. The next update has the next one."""
        self._number = self._seen_id = self.book.last_update_id = update_id

    def empty_diff(self) -> Diff:
        """An update that changes nothing, with the next number, of the time of the newest one. The book has it by now."""
        self.renumber(self._number + 1)
        return Diff(self.symbol, self._seen_ms, self._number, self._number, [], [])

    def on_snapshot(self, snapshot: BookSnapshot, received_ms: int) -> bool:
        """Take a snapshot from the stream, whether the book is in sync or not.

        Returns:
            Whether it has replaced the book. If not, it is older: another connection delivers it.

        Raises:
            Rejected: its bids meet its asks, or it is not what the exchange says; the book needs another one.
        """
        depth = snapshot.depth
        update_id = depth.last_update_id
        if not update_id:
            update_id = self._number = self._number + 1
        elif self.why is None and (update_id == self.book.last_update_id or snapshot.time_ms <= self._seen_ms):
            return False
        self.why = None
        self._seen_id, self._seen_ms = update_id, snapshot.time_ms
        told = snapshot.told or self._told
        if told is None and depth.lowest_bid is None and depth.highest_ask is None:
            told = ALL_LEVELS
        self.book.load(update_id, depth.bids, depth.asks, depth.lowest_bid, depth.highest_ask, told)
        self.refresh = None
        self.received_ms = received_ms
        self._require_uncrossed(self.book)
        if self.proof is not None:
            self.proof.load(snapshot)
            self._check(snapshot)
        return True

    def lose(self, why: str) -> None:
        """Start the procedure again: the book may be wrong from here on, for the reason given."""
        if self.why is None:
            self.why = why
            self.refresh = None
            self._waiting.clear()

    def begin_refresh(self) -> None:
        """Remember the diffs from now on, for a fresh snapshot. The book stays in use."""
        self.refresh = Refresh()

    def on_fresh_depth(self, depth: Depth) -> bool:
        """Take the snapshot of a refresh; return False if it is of no use: older than the refresh, or there is none."""
        return self.refresh is not None and self.refresh.take(depth, self.book.last_update_id)

    def refreshed(self) -> Refreshed | None:
        """Compare the book with the fresh snapshot as far as both are known, and take the snapshot over.

        Returns:
            What has changed; ``None`` while there is no snapshot, or the feed is behind it.

        Raises:
            Rejected: with the snapshot, the bids meet the asks: the exchange contradicts itself, so the book is lost.
        """
        book, refresh = self.book, self.refresh
        fresh = None if refresh is None else refresh.book_at(book.last_update_id)
        if fresh is None:
            if refresh is not None and refresh.too_far_ahead:
                self.refresh = None
            return None
        self.refresh = None
        self._require_uncrossed(fresh)
        bids, asks = book.bids.differences(fresh.bids), book.asks.differences(fresh.asks)
        if not (bids or asks):
            return Refreshed(book.widen(fresh), bids, asks)
        self.book = fresh
        return Refreshed(True, bids, asks)

    def _wait(self, diff: Diff, received_ms: int) -> None:
        if self._by_stream:
            return  # the next snapshot includes it
        waiting = self._waiting
        gap = waiting and diff.first_update_id > waiting[-1][0].last_update_id + 1
        if gap or len(waiting) >= MAX_WAITING:
            waiting.clear()
        waiting.append((diff, received_ms))

    def _apply(self, diff: Diff, received_ms: int) -> None:
        book = self.book
        book.apply(diff.first_update_id, diff.last_update_id, diff.bids, diff.asks)
        self.received_ms = received_ms
        self._require_uncrossed(book)
        if self.proof is not None:
            self.proof.apply(diff)
            self._check(diff)

    def _check(self, update: Diff | BookSnapshot) -> None:
        if self.proof is not None and update.proof is not None and not self.proof.holds(self.book):
            self.lose(Refusal.CHECKSUM)
            raise Rejected(Refusal.CHECKSUM, f"{self.symbol} at update {self.book.last_update_id}", self.symbol)

    def _require_uncrossed(self, book: OrderBook) -> None:
        if book.crossed:
            self.lose(Refusal.CROSSED_BOOK)
            crossed = f"{self.symbol} bid {book.best_bid} ask {book.best_ask}"
            raise Rejected(Refusal.CROSSED_BOOK, crossed, self.symbol)
