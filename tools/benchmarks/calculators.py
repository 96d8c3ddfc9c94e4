"""What one report costs.

    python -m tools.benchmarks.calculators

Two markets: the busy one has 20,000 trades of 30 minutes, 1,000 levels per side, and 30 s of diffs with 20 levels each
every 100 ms; the usual one has 9,000 trades, 700 levels per side, and diffs with 10 levels. Before each slow cycle 2 s of
new trades and diffs arrive. The time to apply them is not measured, but what the slow cycle does with them is. A node
works for hundreds of symbols in turn, so the usual slow cycle is also measured over many markets in turn, which find
nothing in the processor's cache. `python -m tests.analytics.plain_speed` measures plain Python on the same markets.
"""

import statistics
import tracemalloc
from collections.abc import Callable
from itertools import cycle
from random import Random
from time import perf_counter
from typing import Any, NamedTuple

from tickfence.analytics import report, slow_cycle
from tickfence.analytics.book import OrderBook
from tickfence.analytics.symbol_state import SymbolState, Ticker24h
from tickfence.instrument import Instrument

TICK = 0.01
NOW = 1_700_000_000_000
TICKER: dict[str, Any] = {"last": 60_000.0, "change_pct": 1.5, "high": 61_000.0, "low": 59_000.0, "volume": 12_345.6}

FAST_BUDGET_US = 100.0
SLOW_BUDGET_US = 2000.0

MARKETS_IN_TURN = 32

Levels = list[tuple[float, float]]
Trade = tuple[int, float, float, bool]


class Size(NamedTuple):
    """Trades of the last 30 minutes, levels of each side, levels of each side in a diff."""

    trades: int
    levels: int
    changed: int


BUSY = Size(20_000, 1000, 10)
USUAL = Size(9_000, 700, 5)


class Market:
    """A seeded market that feeds a warm state."""

    def __init__(self, size: Size, seed: int = 1) -> None:
        self.random = Random(seed)
        self.size = size
        self.now = NOW
        self.last_id = 1
        bids = [(round(60_000 - place * TICK, 2), self.quantity()) for place in range(size.levels)]
        asks = [(round(60_000.01 + place * TICK, 2), self.quantity()) for place in range(size.levels)]
        self.warm = SymbolState(Instrument("BTCUSDT"), TICK)
        self.load(bids, asks)
        self.price = 60_000.0
        self.trade(size.trades, 1_800_000)
        for _ in range(300):
            self.now += 100
            self.diff()
        self.warm.ticker = Ticker24h(**TICKER, received_ms=self.now)

    def quantity(self) -> float:
        """A random quantity."""
        return round(self.random.expovariate(1), 5) + 0.00001

    def trade(self, count: int, over_ms: int) -> None:
        """Add trades, spread over the last ``over_ms``."""
        trades: list[Trade] = []
        for index in range(count):
            self.price = round(self.price + self.random.choice([-3, -1, 0, 0, 1, 3]) * TICK, 2)
            time = self.now - over_ms + (index + 1) * over_ms // count
            trades.append((time, self.price, self.quantity(), self.random.random() < 0.5))
        self.add_trades(trades)

    def side(self, best: float, sign: int) -> Levels:
        """Changed levels of one side; ``sign`` is -1 for bids and 1 for asks."""
        places = [min(self.size.levels, int(self.random.expovariate(1 / 60))) for _ in range(self.size.changed)]
        return [
            (round(best + sign * place * TICK, 2), self.random.choice([0.0, self.quantity()]) if place else 1.0)
            for place in places
        ]

    def diff(self) -> None:
        """Add one diff."""
        self.last_id += 1
        bids, asks = self.side(60_000.0, -1), self.side(60_000.01, 1)
        self.add_diff(bids, asks)

    def two_seconds(self) -> None:
        """Add the trades and diffs of 2 s."""
        for _ in range(20):
            self.now += 100
            self.diff()
        self.trade(self.size.trades // 900, 2000)
        self.warm.ticker = Ticker24h(**TICKER, received_ms=self.now)

    def load(self, bids: Levels, asks: Levels) -> None:
        """Start from a full book."""
        self.warm.load_snapshot(1, bids, asks, NOW - 1_800_000)

    def add_trades(self, trades: list[Trade]) -> None:
        """Add trades to the state."""
        times, prices, quantities, is_buy = zip(*trades, strict=True)
        self.warm.add_trades(times, prices, quantities, is_buy, self.now)

    def add_diff(self, bids: Levels, asks: Levels) -> None:
        """Apply a diff to the state."""
        self.warm.apply_diff(self.last_id, self.last_id, bids, asks, self.now, self.now)


def measured(work: Callable[[], object], before: Callable[[], object], runs: int) -> list[float]:
    """Seconds of each of the runs of work, before() running outside the time."""
    times = []
    for _ in range(runs):
        before()
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return times


def shown(name: str, times: list[float], budget_us: float | None = None) -> float:
    """Prints median and spread in microseconds; returns the median."""
    low, median, high = (statistics.quantiles(times, n=20)[place] * 1e6 for place in (0, 9, 18))
    budget = f"   budget {budget_us:,.0f}: {'met' if median <= budget_us else 'MISSED'}" if budget_us else ""
    print(f"{name:<46} {median:>10,.1f} us   (5-95 %: {low:,.1f} - {high:,.1f}, n={len(times)}){budget}")
    return median


def slow_cycles(name: str, markets: list[Market], runs: int, budget_us: float | None = None) -> None:
    """Measures and prints slow cycles of each market in turn."""
    turns = cycle(markets)
    market = next(turns)

    def step() -> None:
        nonlocal market
        market = next(turns)
        market.two_seconds()

    print(f"{name}: {len(market.warm.trades):,} trades, {len(market.warm.book):,} levels")
    shown(name, measured(lambda: slow_cycle.run(market.warm, market.now), step, runs), budget_us)


def book_update(levels: int, diffs: int) -> list[float]:
    """Seconds per level of applying diffs of 20 levels to a book with so many levels a side."""
    random = Random(1)
    book = OrderBook()
    book.load(
        0,
        [(100 - place * TICK, 1.0) for place in range(levels)],
        [(100 + place * TICK, 1.0) for place in range(1, levels)],
    )
    times = []
    for number in range(1, diffs + 1):
        bids, asks = (
            [
                (round(100 + sign * (1 + int(random.expovariate(1 / 60))) * TICK, 2), random.choice([0.0, 1.0]))
                for _ in range(10)
            ]
            for sign in (-1, 1)
        )
        start = perf_counter()
        book.apply(number, number, bids, asks)
        times.append((perf_counter() - start) / 20)
    return times


def memory() -> int:
    """Bytes that the warm state of one symbol holds."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        market = Market(BUSY)
        slow_cycle.run(market.warm, market.now)
        after, _ = tracemalloc.get_traced_memory()
        return after - before
    finally:
        tracemalloc.stop()


def main(runs: int = 200) -> None:
    """Measures and prints everything."""
    market = Market(BUSY)

    def nothing() -> None:
        return None

    slow_cycles("slow cycle, busy", [market], runs, SLOW_BUDGET_US)
    slow_cycles("slow cycle, usual", [Market(USUAL)], runs)
    in_turn = [Market(USUAL, seed) for seed in range(MARKETS_IN_TURN)]
    slow_cycles(f"slow cycle, usual, {MARKETS_IN_TURN} markets in turn", in_turn, runs)
    shown(
        "fast report, state to JSON",
        measured(lambda: report.build(market.warm, market.now, "node-001", 1), nothing, runs * 10),
        FAST_BUDGET_US,
    )
    shown("book update, a level, 2 x 1,000 levels", book_update(1000, runs * 10), 1.0)
    held = memory() / 1e6
    print(f"{'memory of one symbol':<46} {held:>10.2f} MB   budget 2: {'met' if held <= 2 else 'MISSED'}")


if __name__ == "__main__":
    main()
