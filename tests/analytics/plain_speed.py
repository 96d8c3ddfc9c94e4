"""How much faster reports are than plain Python over the same data: `python -m tests.analytics.plain_speed`.

The plain way is the reference implementation of the tests, which recomputes everything from lists.
"""

import json

from tests.oracles.fast_report import fast_report
from tests.oracles.slow_cycle import PlainMarket
from tickfence.analytics import report, slow_cycle
from tools.benchmarks.calculators import BUSY, TICK, TICKER, USUAL, Levels, Market, Trade, measured, shown


class BothMarkets(Market):
    """A market that also keeps plain lists."""

    def load(self, bids: Levels, asks: Levels) -> None:
        super().load(bids, asks)
        self.plain = PlainMarket(TICK)
        self.plain.load(bids, asks)

    def add_trades(self, trades: list[Trade]) -> None:
        super().add_trades(trades)
        self.plain.trades += trades

    def add_diff(self, bids: Levels, asks: Levels) -> None:
        super().add_diff(bids, asks)
        self.plain.diff(self.now, bids, asks)

    def two_seconds(self) -> None:
        super().two_seconds()
        # The lists grow without end: cut them to the windows, outside the measured time.
        self.plain.quantities = self.plain.quantities[-10_000:]
        self.plain.changes = [change for change in self.plain.changes if change[0] > self.now - 30_000]
        self.plain.trades = [trade for trade in self.plain.trades if trade[0] > self.now - 1_860_000]


def main(runs: int = 100) -> None:
    """Measures both ways in turn and prints the ratios."""
    for name, size in (("busy", BUSY), ("usual", USUAL)):
        market = BothMarkets(size)
        plain = market.plain

        def plain_fast(market: BothMarkets = market, plain: PlainMarket = plain) -> None:
            ticker = TICKER | {"received_ms": market.now}
            json.dumps(fast_report(plain.bids, plain.asks, plain.trades, ticker, market.now, market.now))

        works = (
            (
                "slow cycle",
                lambda market=market: slow_cycle.run(market.warm, market.now),
                lambda market=market: json.dumps(market.plain.slow_sections(market.now)),
                market.two_seconds,
            ),
            (
                "fast report",
                lambda market=market: report.build(market.warm, market.now, "node-001", 1),
                plain_fast,
                lambda: None,
            ),
        )
        for what, warm, slow, before in works:
            ours = shown(f"{what}, {name}", measured(warm, before, runs))
            theirs = shown(f"{what}, {name}, plain Python", measured(slow, before, max(2, runs // 10)))
            print(f"times faster{theirs / ours:>45,.0f}")


if __name__ == "__main__":
    main()
