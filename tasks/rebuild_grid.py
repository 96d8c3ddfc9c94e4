"""Reports at times of your choice, made from recorded inputs as one node would make them that runs all the time.

Needs the extra ``recordings``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TypeVar

from tasks.rebuilt import CARRY_MS, SEED_MS, SLOW, Lacks, Rebuilt
from tasks.recorded_entries import Recorded, RecordedDiffs, RecordedTrades, id_text
from tasks.recorded_market import LEAD_MS, POLLED_MS, RecordedMarket
from tasks.symbol_events import Event
from tasks.warm_symbol import WarmSymbol
from tickfence.analytics import report, slow_cycle
from tickfence.analytics.level_changes import KEEP_MS as CHANGES_KEEP_MS
from tickfence.analytics.trade_window import KEEP_MS, MAX_TRADES
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.redis_access.command import Request
from tickfence.streams.codec import SymbolInfo, Ticker, split_id
from tickfence.streams.read import READ_LIMIT, ColdStart, Entries, StreamReader

WRITER, TOKEN = "batch", 1
"""The writer of reports that no node wrote."""

_Timed = TypeVar("_Timed", Ticker, SymbolInfo)


class ReaderAt(StreamReader):
    """Stands for a node's reader: reads what had been received by a time.

    Args:
        symbol: whose streams.
        market: what is recorded.

    Attributes:
        at_ms: the time, on the clock of the receive times.
    """

    __slots__ = ("_infos", "_market", "_tickers", "at_ms")

    def __init__(self, symbol: Instrument, market: RecordedMarket) -> None:
        super().__init__(Keys(), symbol)
        self._market = market
        self._tickers = _by_time([(ticker.received_ms, ticker) for ticker in market.tickers()])
        self._infos = _by_time(market.infos())
        self.at_ms = 0

    def entries(self, take: Callable[[Entries], None], *, limit: int = READ_LIMIT) -> Request:  # noqa: ARG002
        """What was received since."""
        return (), lambda _: self._take_received(take)

    def _take_received(self, take: Callable[[Entries], None]) -> None:
        trades = self._market.trades.received(split_id(self.trades_id), self.at_ms)
        diffs = self._market.diffs.received(split_id(self.book_id), self.at_ms)
        if trades:
            self.trades_id = id_text(RecordedTrades.entry_id(trades[-1]))
        if diffs:
            self.book_id = id_text(RecordedDiffs.entry_id(diffs[-1]))
        take(Entries(trades, diffs))

    def ticker(self, take: Callable[[Ticker | None], None]) -> Request:
        """The statistics of that time."""
        return (), lambda _: take(_newest(self._tickers, self.at_ms))

    def info(self, take: Callable[[SymbolInfo | None], None]) -> Request:
        """The rules of that time."""
        return (), lambda _: take(_newest(self._infos, self.at_ms))

    def cold(self, since_ms: int, take: Callable[[ColdStart], None], **limits: int) -> list[Request]:  # noqa: ARG002
        """All that a reader needs that knows nothing, or no trades after ``since_ms``."""
        return [((), lambda _: take(self._cold(since_ms)))]

    def _cold(self, since_ms: int) -> ColdStart:
        at_ms = self.at_ms
        trades = self._market.trades.received((max(since_ms, at_ms - KEEP_MS), -1), at_ms)[-MAX_TRADES:]
        diffs = self._market.diffs.received((at_ms - 2 * POLLED_MS, -1), at_ms)
        newest_id = diffs[-1].last_update_id if diffs else 0
        snapshot = next(self._market.snapshots_before(newest_id, at_ms), None)
        start = ColdStart(snapshot, diffs, trades, _newest(self._tickers, at_ms), _newest(self._infos, at_ms))
        start.trades_id = id_text(RecordedTrades.entry_id(trades[-1])) if trades else f"{max(since_ms, at_ms)}-0"
        start.book_id = id_text(RecordedDiffs.entry_id(diffs[-1])) if diffs else f"{at_ms}-0"
        return start


def on_grid(
    recording: Recorded, symbol: Instrument, from_ms: int, to_ms: int, every_ms: int, slow_period_ms: int
) -> Iterator[Rebuilt]:
    """The reports of one symbol at every multiple of ``every_ms``; arguments as of :func:`tasks.rebuild.rebuild`."""
    market = RecordedMarket(recording, symbol, from_ms, to_ms)
    carried = market.carry_before(from_ms - LEAD_MS, from_ms - CARRY_MS)
    began_ms = from_ms - SEED_MS if carried is None else carried.time_ms
    reader = ReaderAt(symbol, market)
    warm = WarmSymbol(symbol, Keys(), _forget_event, reader)
    lacks, slow_lacks = Lacks(trades=True), SLOW
    fresh = True
    for at_ms, slow in _times(began_ms, from_ms, to_ms, every_ms, slow_period_ms):
        reader.at_ms = at_ms
        _read(warm, at_ms, carried.data if carried is not None and fresh else None)
        state = warm.state
        if warm.cold or (fresh and carried is None):
            lacks.diffs(state, at_ms)
        if fresh and not warm.cold:
            fresh = False
            lacks.changes_ms = state.market_ms(at_ms) + CHANGES_KEEP_MS  # a carry does not tell the small ones
        if not warm.cold and not state.publishable:
            warm.invalidate("book")
        if warm.cold:
            continue
        if slow:
            slow_cycle.run(state, at_ms)
            slow_lacks = lacks.reason(state, at_ms)
        else:
            made = report.build(state, at_ms, WRITER, TOKEN)
            yield Rebuilt(at_ms, made, None, lacks.reason(state, at_ms) or slow_lacks)


def _times(began_ms: int, from_ms: int, to_ms: int, every_ms: int, slow_period_ms: int) -> Iterator[tuple[int, bool]]:
    """When a cycle is due, and whether it is a slow one; the slow one comes first."""
    slow_ms, fast_ms = _next(began_ms, slow_period_ms), _next(from_ms, every_ms)
    while min(slow_ms, fast_ms) < to_ms:
        if slow_ms <= fast_ms:
            yield slow_ms, True
            slow_ms += slow_period_ms
        else:
            yield fast_ms, False
            fast_ms += every_ms


def _next(from_ms: int, period_ms: int) -> int:
    return -(-from_ms // period_ms) * period_ms


def _read(warm: WarmSymbol, at_ms: int, carried: bytes | None) -> None:
    for _ in range(2):  # once more, from the snapshot, where the first read finds a gap
        was_cold = warm.cold
        for number, (_, take) in enumerate(warm.read(at_ms, at_ms / 1000)):
            take(carried if was_cold and number == 1 else None)
        if was_cold or not warm.cold:
            return


def _by_time(pairs: list[tuple[int, _Timed]]) -> tuple[list[int], list[_Timed]]:
    times = list(accumulate((time_ms for time_ms, _ in pairs), max))
    return times, [value for _, value in pairs]


def _newest(known: tuple[Sequence[int], Sequence[_Timed]], at_ms: int) -> _Timed | None:
    place = bisect_right(known[0], at_ms)
    return known[1][place - 1] if place else None


def _forget_event(event: Event) -> None:
    """What happens to a state here happened before."""
