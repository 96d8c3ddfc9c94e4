"""A recording of a random market, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.recordings.writing import HOUR
from tickfence.recordings import rows
from tickfence.recordings.kinds import Kind
from tickfence.recordings.store import Store
from tickfence.streams.codec import DiffEntry, Level, Snapshot, SymbolInfo, Ticker, TradeEntry
from tools.simulator.market import Activity, Diff, Market
from tools.simulator.symbols import instrument

START = HOUR - 60_000
"""A minute before the hour, so that a minute's recording is in one file and the next in another."""
STEP_MS = 50
SNAPSHOT_MS = 5_000
Sides = tuple[dict[float, float], dict[float, float]]


@dataclass
class Truth:
    """What happened in one market."""

    trades: list[TradeEntry] = field(default_factory=list)
    diffs: list[DiffEntry] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    books: dict[int, Sides] = field(default_factory=dict)
    """The book by its last update id."""


class _Recorded:
    def __init__(self, symbol: str, seed: int) -> None:
        self.symbol = symbol
        self.market = Market(instrument(symbol), seed, Activity(levels=30, trades_per_second=8.0))
        self.truth = Truth()
        self._tick, self._step = 10**self.market.instrument.tick_decimals, 10**self.market.instrument.step_decimals

    def step(self, at_ms: int) -> None:
        for one in self.market.step():
            price, quantity = one.price / self._tick, one.quantity / self._step
            entry = TradeEntry(at_ms, one.trade_id, price, quantity, not one.buyer_is_maker, at_ms + 3)
            self.truth.trades.append(entry)
        if (at_ms - START) % (2 * STEP_MS) == 0 and (diff := self.market.take_diff()):
            self._diff(at_ms, diff)
        if (at_ms - START) % SNAPSHOT_MS == 0 and at_ms > START:
            self.snapshot(at_ms)

    def _diff(self, at_ms: int, diff: Diff) -> None:
        bids, asks = self._levels(diff.bids), self._levels(diff.asks)
        self.truth.diffs.append(DiffEntry(at_ms, diff.first, diff.last, bids, asks, at_ms + 4))
        self.truth.books[diff.last] = self._sides()

    def snapshot(self, at_ms: int) -> None:
        bids, asks = (sorted(side.items()) for side in self._sides())
        last = self.truth.diffs[-1].last_update_id if self.truth.diffs else self.market.update_id
        self.truth.books.setdefault(last, self._sides())
        self.truth.snapshots.append(
            Snapshot(last_update_id=last, stream_id=f"{at_ms}-{last}", bids=bids[::-1], asks=asks, time=at_ms + 9)
        )

    def _sides(self) -> Sides:
        bids, asks = (dict(self._levels(dict(side.levels(10_000)))) for side in (self.market.bids, self.market.asks))
        return bids, asks

    def _levels(self, levels: dict[int, int]) -> list[Level]:
        return [(price / self._tick, quantity / self._step) for price, quantity in levels.items()]


def record(url: str, symbols: list[str], seconds: int, *, seed: int = 1) -> dict[str, Truth]:
    """Record some seconds from `START` on; what happened, by symbol."""
    store, markets = Store(url), [_Recorded(symbol, seed) for symbol in symbols]
    for market in markets:
        market.snapshot(START - STEP_MS)
    for at_ms in range(START, START + seconds * 1000, STEP_MS):
        for market in markets:
            market.step(at_ms)
    written: dict[Kind, list[rows.Row]] = {kind: [] for kind in Kind}
    for market in markets:
        symbol, truth = market.symbol, market.truth
        written[Kind.TRADES] += [rows.trade(symbol, entry) for entry in truth.trades]
        written[Kind.DIFFS] += [rows.diff(symbol, entry) for entry in truth.diffs]
        written[Kind.SNAPSHOTS] += [rows.snapshot(symbol, book) for book in truth.snapshots]
        written[Kind.TICKERS].append(rows.ticker(symbol, Ticker(1.5, -0.5, 2.0, 1.0, 1e-7, START + 500)))
        written[Kind.INFOS].append(rows.info(symbol, START + 400, SymbolInfo(0.01, 0.001, "trading")))
    for kind, some in written.items():
        store.write(rows.table(kind, some), kind, "r.1", 1)
    return {market.symbol: market.truth for market in markets}
