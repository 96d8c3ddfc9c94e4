"""Snapshots and diffs of one order book, by comparing what ccxt shows of it with what it showed before.

ccxt does not say how deep its book reaches, so that is found out here. A side has some number of levels at first:

- Up to `FEW`, and it is a channel that tells of the best levels only, or a market that has no more. Both are read alike: of
  as many levels as there ever were, every change is told.
- More: it is such a channel; or the whole book; or an answer of limited depth together with changes of every level, and then
  levels beyond its end are missing until they change. The better half is right in all three cases. Once there are more
  levels than at first, it is not a channel of the best ones. Then everything up to the first end is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from ingest.checks import check_time
from ingest.events import INFINITY, BookSnapshot, Depth, Diff, Level, Rejected, check_levels
from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal

FEW = 50
"""No exchange's answer of limited depth is so short."""
MOST = 1_000
"""Levels a side that are compared: as many as a report looks at."""

Side = Sequence[Sequence[Any]]
"""Levels of ccxt's book, best first: price, quantity, and what some exchanges add. Orders of one price may stand apart."""


class ComparedBook:
    """One symbol's book, as it was last told.

    Args:
        symbol: whose.
    """

    def __init__(self, symbol: Instrument) -> None:
        self._symbol = symbol
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._count = 0
        self._few = True
        self._told: int | None = 0
        self._lowest_bid, self._highest_ask = -INFINITY, INFINITY

    def first(self, book: Mapping[str, Any], now_ms: int) -> BookSnapshot:
        """The first book of a subscription.

        Args:
            book: ccxt's.
            now_ms: its time, if the exchange tells none.

        Raises:
            Rejected: it must not be used.
        """
        bids, asks = book["bids"], book["asks"]
        self._count = max(len(bids), len(asks))
        self._few = self._count <= FEW
        self._told = self._count if self._few else min(self._count // 2, MOST)
        self._lowest_bid = bids[-1][0] if bids else -INFINITY
        self._highest_ask = asks[-1][0] if asks else INFINITY
        return self._snapshot(book, now_ms)

    def next(self, book: Mapping[str, Any], now_ms: int) -> BookSnapshot | Diff | None:
        """What is new in a later one: a diff, or a snapshot if it turns out to reach further; ``None`` if nothing.

        Raises:
            Rejected: it must not be used.
        """
        bids, asks = book["bids"], book["asks"]
        if self._told is not None and (count := max(len(bids), len(asks))) > self._count:
            self._count = count
            self._told = count if self._few else None
            return self._snapshot(book, now_ms)
        most = MOST if self._told is None else self._told
        new_bids, new_asks = levels(bids, most), levels(asks, most)
        bid_changes, ask_changes = changes(self._bids, new_bids), changes(self._asks, new_asks)
        if not (bid_changes or ask_changes):
            return None
        self._check(bid_changes, ask_changes)
        self._bids, self._asks = new_bids, new_asks
        return Diff(self._symbol, self._time(book, now_ms), 0, 0, bid_changes, ask_changes)

    def again(self, book: Mapping[str, Any], now_ms: int) -> tuple[BookSnapshot, bool]:
        """The same book as a snapshot, and whether it is known as far as it should be. If not, only a new one helps.

        Raises:
            Rejected: it must not be used.
        """
        snapshot = self._snapshot(book, now_ms)
        known = zip((snapshot.depth.bids, snapshot.depth.asks), (book["bids"], book["asks"]), strict=True)
        return snapshot, self._told is not None or all(2 * len(mine) >= min(len(its), MOST) for mine, its in known)

    def _snapshot(self, book: Mapping[str, Any], now_ms: int) -> BookSnapshot:
        most = MOST if self._told is None else self._told
        self._bids, self._asks = levels(book["bids"], most), levels(book["asks"], most)
        bids, asks = list(self._bids.items()), list(self._asks.items())
        self._check(bids, asks)
        time_ms = self._time(book, now_ms)
        if self._told is not None:
            return BookSnapshot(self._symbol, time_ms, Depth(0, bids, asks), told=self._told)
        lowest, highest = self._lowest_bid, self._highest_ask
        if len(bids) == MOST:
            lowest = max(lowest, bids[-1][0])
        if len(asks) == MOST:
            highest = min(highest, asks[-1][0])
        bids = [level for level in bids if level[0] >= lowest]
        asks = [level for level in asks if level[0] <= highest]
        return BookSnapshot(self._symbol, time_ms, Depth(0, bids, asks, lowest, highest))

    def _check(self, bids: list[Level], asks: list[Level]) -> None:
        for side in (bids, asks):
            if not all(type(price) in (int, float) and type(quantity) in (int, float) for price, quantity in side):
                raise Rejected(Refusal.WRONG_TYPE, f"{self._symbol} levels must be numbers: {side[:3]}", self._symbol)
            if reason := check_levels(side):
                raise Rejected(reason, f"{self._symbol} levels {side[:3]}", self._symbol)

    def _time(self, book: Mapping[str, Any], now_ms: int) -> int:
        time_ms = book.get("timestamp")
        if time_ms is None:
            return now_ms
        if type(time_ms) is not int:
            raise Rejected(Refusal.BAD_TIME, f"{self._symbol} book of {time_ms!r}", self._symbol)
        check_time(time_ms, self._symbol, self._symbol)
        return time_ms


def levels(side: Side, most: int) -> dict[float, float]:
    """The quantity at each of the best prices, ``most`` at most.

    >>> levels([[10.0, 1.0, "order 1"], [10.0, 2.0, "order 2"], [9.0, 1.0, "order 3"], [8.0, 1.0, "order 4"]], 2)
    {10.0: 3.0, 9.0: 1.0}
    """
    found = {level[0]: level[1] for level in islice(side, most)}
    if len(found) == min(len(side), most):
        return found
    sums: dict[float, float] = {}
    for price, quantity, *_ in side:
        sums[price] = sums.get(price, 0.0) + quantity
    return dict(islice(sums.items(), most))


def changes(before: dict[float, float], now: dict[float, float]) -> list[Level]:
    """The levels that differ, with their new quantities; 0 for one that is gone.

    >>> changes({10.0: 1.0, 9.0: 2.0}, {10.0: 1.5, 8.0: 3.0})
    [(9.0, 0.0), (10.0, 1.5), (8.0, 3.0)]
    """
    if before == now:
        return []
    gone = [(price, 0.0) for price in before if price not in now]
    return gone + [(price, quantity) for price, quantity in now.items() if before.get(price) != quantity]
