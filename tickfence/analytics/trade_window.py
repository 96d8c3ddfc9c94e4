"""The recent trades of one symbol, in time order, as numpy arrays."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tickfence.analytics.trade_coverage import TradeCoverage

KEEP_MS = 31 * 60_000
"""How long trades are kept: the longest window (30 minutes), and a minute more because clocks differ."""

MAX_TRADES = 2**17
"""Maximum number of trades; the oldest are dropped first."""

_INITIAL_CAPACITY = 64

_FEW = 8
"""Up to this many values are faster to store one by one than through NumPy's conversion of a list."""

Number = TypeVar("Number", np.int64, np.float64)


class TradeWindow:
    """Rolling window over the trades of one symbol.

    New trades are appended to arrays that grow by powers of two. Old trades are dropped by moving the start; the live
    part moves to the front only when the end of the arrays is reached. So views are always contiguous, and adding a trade
    costs O(1) on average. A trade takes 24 bytes.

    A time window is always half open: (now - window, now]. A trade exactly `window` ago is outside, a trade exactly now
    is inside.

    Attributes:
        newest_ms: time of the newest trade, ms; None without trades.
        discarded: number of trades that have left the window. The trades in it have the numbers `discarded` to
            `discarded + len(window) - 1`. A trade keeps its number while `reordered` does not change.
        reordered: raised each time a late trade is sorted in among older ones.
        coverage: since when the trades are complete. The caller adds ids and book diffs to it.
    """

    def __init__(self, keep_ms: int = KEEP_MS, max_trades: int = MAX_TRADES) -> None:
        self._keep_ms = keep_ms
        self._max_trades = max_trades
        self._times: NDArray[np.int64] = np.empty(_INITIAL_CAPACITY, dtype=np.int64)
        self._prices: NDArray[np.float64] = np.empty(_INITIAL_CAPACITY, dtype=np.float64)
        self._signed: NDArray[np.float64] = np.empty(_INITIAL_CAPACITY, dtype=np.float64)
        self._start = 0
        self._end = 0
        self.newest_ms: int | None = None
        self.discarded = 0
        self.reordered = 0
        self.coverage = TradeCoverage()

    @property
    def complete_after_ms(self) -> int:
        """Every trade of the exchange after this time (exchange time, ms) is in the window; 0 if all there ever were.

        `coverage` finds it; who adds trades without ids may set it.
        """
        return self.coverage.after_ms

    @complete_after_ms.setter
    def complete_after_ms(self, after_ms: int) -> None:
        self.coverage.claim(after_ms)

    def covers(self, after_ms: int) -> bool:
        """Whether every trade of the exchange with a time after `after_ms` is in the window."""
        return after_ms >= self.coverage.after_ms

    def extend(
        self, times_ms: Sequence[int], prices: Sequence[float], quantities: Sequence[float], is_buy: Sequence[bool]
    ) -> None:
        """Adds trades as four columns of equal length, and drops those that are now too old or too many.

        Args:
            times_ms: exchange time of each trade, ms. Any order is accepted; time order is fastest. Trades of the
                same ms keep the order of their arrival.
            prices, quantities: positive finite numbers.
            is_buy: True if the aggressor bought.

        Raises:
            ValueError: the columns differ in length.
        """
        count = len(times_ms)
        if not count == len(prices) == len(quantities) == len(is_buy):
            raise ValueError(
                "trade columns must have the same length, not "
                f"{count} times, {len(prices)} prices, {len(quantities)} quantities, {len(is_buy)} sides"
            )
        if not count:
            return
        self._make_room(count)
        old_end = self._end
        end = self._end = old_end + count
        signed = [q if buy else -q for q, buy in zip(quantities, is_buy, strict=True)]
        for column, values in ((self._times, times_ms), (self._prices, prices), (self._signed, signed)):
            if count <= _FEW:
                for place, value in enumerate(values, old_end):
                    column[place] = value
            else:
                column[old_end:end] = values
        self._sort(old_end, times_ms)
        self.newest_ms = self._times.item(end - 1)
        self._trim()

    def between(self, after_ms: int, until_ms: int) -> tuple[int, int]:
        """Numbers [first, last) of the trades with after_ms < time <= until_ms."""
        times = self._times[self._start : self._end]
        first = int(times.searchsorted(after_ms, "right"))
        # Nearly every window ends at the newest trade, which saves the second search.
        newest_ms = self.newest_ms
        last = (
            len(times)
            if newest_ms is not None and newest_ms <= until_ms
            else int(times.searchsorted(until_ms, "right"))
        )
        return self.discarded + first, self.discarded + (last if last > first else first)

    def times(self, first: int, last: int) -> NDArray[np.int64]:
        """Times (ms) of the trades numbered [first, last): a view, valid until the next extend()."""
        return self._times[self._position(first) : self._position(last)]

    def prices(self, first: int, last: int) -> NDArray[np.float64]:
        """Prices of the trades numbered [first, last): a view, valid until the next extend()."""
        return self._prices[self._position(first) : self._position(last)]

    def signed_quantities(self, first: int, last: int) -> NDArray[np.float64]:
        """Quantities of the trades numbered [first, last), negative if the aggressor sold: a view, as prices()."""
        return self._signed[self._position(first) : self._position(last)]

    @property
    def last_price(self) -> float | None:
        """Price of the newest trade by time; None without trades."""
        return self._prices.item(self._end - 1) if self._end > self._start else None

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays, bytes."""
        return self._times.nbytes + self._prices.nbytes + self._signed.nbytes

    def __len__(self) -> int:
        return self._end - self._start

    def _position(self, number: int) -> int:
        place = self._start + number - self.discarded
        if place < self._start:
            return self._start
        return place if place < self._end else self._end

    def _make_room(self, count: int) -> None:
        capacity = len(self._times)
        if self._end + count <= capacity:
            return
        live = len(self)
        needed = live + count
        if needed > capacity * 3 // 4:
            # A quarter stays free, so that the live part moves at most once per capacity / 4 trades.
            capacity = 1 << (needed * 4 // 3).bit_length()
        self._times = _moved(self._times, self._start, self._end, capacity)
        self._prices = _moved(self._prices, self._start, self._end, capacity)
        self._signed = _moved(self._signed, self._start, self._end, capacity)
        self._start, self._end = 0, live

    def _sort(self, old_end: int, new: Sequence[int]) -> None:
        times = self._times
        in_order = sorted(new)
        lowest = in_order[0]
        late = old_end > self._start and lowest < times[old_end - 1]
        if not late and in_order == list(new):
            return
        begin = self._start + int(times[self._start : old_end].searchsorted(lowest, "right"))
        order = begin + np.argsort(times[begin : self._end], kind="stable")
        for column in (self._times, self._prices, self._signed):
            column[begin : self._end] = column[order]
        if late:
            self.reordered += 1

    def _trim(self) -> None:
        times = self._times[self._start : self._end]
        oldest = int(times[-1]) - self._keep_ms
        drop = int(times.searchsorted(oldest, "right")) if times[0] <= oldest else 0
        if len(times) - drop > self._max_trades:
            drop = len(times) - self._max_trades
            self.coverage.drop(int(times[drop - 1]))
        self._start += drop
        self.discarded += drop


def _moved(array: NDArray[Number], start: int, end: int, capacity: int) -> NDArray[Number]:
    target = array if len(array) == capacity else np.empty(capacity, dtype=array.dtype)
    target[: end - start] = array[start:end]
    return target
