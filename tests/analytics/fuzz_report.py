"""Fuzzes the report: random updates, and a check of every number in it.

    python -m tests.analytics.fuzz_report --updates 10000000

An update is one changed level, one trade or one ticker. Ordinary markets alternate with hostile ones: huge and tiny
numbers, one-sided and empty books, gaps, late trades and trades from the future, clocks that jump. Every report is
decoded by its typed model, which checks types and ranges, and its numbers are compared with each other.
"""

import argparse
import json
import re
from itertools import pairwise
from math import inf, nan
from random import Random
from time import perf_counter

import msgspec

from tickfence.analytics import carry, report, slow_cycle
from tickfence.analytics.book import BookGap, BookNotInSync
from tickfence.analytics.symbol_state import NotPublishable, SymbolState, Ticker24h
from tickfence.instrument import Instrument

START = 1_700_000_000_000
_NO_NUMBER = re.compile(rb"null|NaN|Infinity|-0\.0(?!\d*[1-9])|-0[,}\]]")

Levels = list[tuple[float, float]]


class BadReport(AssertionError):
    """A report violates its contract; the message says how."""


def check(data: bytes) -> report.Report:
    """Decode a report and check it.

    Raises:
        BadReport: it violates its contract.
    """
    found = _NO_NUMBER.search(data)
    if found:
        raise BadReport(f"{found.group()!r} in {data[max(0, found.start() - 60) : found.end()]!r}")
    try:
        decoded = msgspec.json.decode(data, type=report.Report)
    except msgspec.ValidationError as error:
        raise BadReport(f"{error} in {data!r}") from error
    for broken in _broken(decoded):
        raise BadReport(f"{broken} in {data!r}")
    return decoded


def _broken(found: report.Report) -> list[str]:
    bids, asks = found.depth.bids, found.depth.asks
    both = bool(bids and asks)
    rules = {
        "bids are not best first": all(one.price > other.price for one, other in pairwise(bids)),
        "asks are not best first": all(one.price < other.price for one, other in pairwise(asks)),
        "the book is crossed": not both or bids[0].price < asks[0].price,
        "best prices are not those of the depth": (found.best_bid or None, found.best_ask or None)
        == (bids[0] if bids else None, asks[0] if asks else None),
        "spread without two sides": bool(found.spread_bps is not msgspec.UNSET) == both,
        "the status of a one-sided book is ok": both or found.ingestion.status != "ok",
        "health is not the sum of its components": abs(
            found.health.score - sum(c.score for c in found.health.components)
        )
        < 0.051,
    }
    if both and isinstance(found.mid_price, float) and isinstance(found.micro_price, float):
        # Both are rounded to 8 decimals, so they may leave [bid, ask] by half a unit of the last.
        low, high = bids[0].price - 5.1e-9, asks[0].price + 5.1e-9
        rules["mid or micro price is outside the spread"] = (
            low <= found.mid_price <= high and low <= found.micro_price <= high
        )
    if found.liquidity and found.liquidity.volume_profile:
        profile = found.liquidity.volume_profile
        rules["VAL, POC, VAH are out of order"] = profile.VAL < profile.POC < profile.VAH
        rules["a volume profile of too few trades"] = profile.trade_count >= 10
    return [broken for broken, holds in rules.items() if not holds]


class Fuzz:
    """A symbol under random updates.

    Attributes:
        updates: how many there were.
        reports: how many were built and checked.
        gaps: how many diffs did not connect.
        restarts: how many markets there were.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.updates = self.reports = self.gaps = self.restarts = 0
        self.now = START
        self.last_id = 1
        self.state = SymbolState(Instrument("BTCUSDT"))
        self._new_market()

    def run(self, updates: int) -> None:
        """Make at least ``updates`` more.

        Raises:
            BadReport: a report violates its contract.
        """
        until = self.updates + updates
        while self.updates < until:
            for _ in range(self.random.randint(1, 12)):
                self._feed()
            self._check_report()
            if self.random.random() < 0.002:
                self._new_market()

    def _new_market(self) -> None:
        """Start another market, with a new state or with one that restores what the old one dumped."""
        self.hostile = self.random.random() < 0.5
        self.mid = 10 ** self.random.uniform(-6, 12) if self.hostile else 100.0
        self.tick = self.mid / self.random.choice([100, 10_000, 1_000_000]) if self.hostile else 0.01
        state = SymbolState(Instrument("BTCUSDT"), self.random.choice([None, self.tick]))
        if self.random.random() < 0.5:
            carry.restore(state, carry.dump(self.state, self.now))
        self.state = state
        self.restarts += 1
        self._load()

    def _load(self) -> None:
        self.state.load_snapshot(self.last_id, self._levels(-1, 30), self._levels(1, 30), self.now)

    def _quantity(self) -> float:
        if self.hostile and self.random.random() < 0.3:
            return self.random.choice([1e-8, 1e-3, 1e9, 1e15, 1e100])
        return round(self.random.expovariate(1), 4) + 0.0001

    def _price(self, sign: int) -> float:
        return self.mid + sign * self.tick * (1 + int(self.random.expovariate(0.1))) if self.tick else self.mid

    def _levels(self, sign: int, maximum: int) -> Levels:
        chance = 0.6 if self.hostile and self.random.random() < 0.5 else 0.35
        levels = [
            (self._price(sign), 0.0 if self.random.random() < chance else self._quantity())
            for _ in range(self.random.randint(0, maximum))
        ]
        return [(price, quantity) for price, quantity in levels if price > 0]

    def _feed(self) -> None:
        self.now += self.random.choice([0, 1, 50, 100, 300])
        if self.hostile and self.random.random() < 0.01:
            self.now += self.random.choice([-40_000, 5_000, 31_000, 2_000_000])
        bids, asks = self._levels(-1, 12), self._levels(1, 12)
        if self.random.random() < 0.01:
            bids, asks = ([(p, 0.0) for p, _ in side] for side in self.state.book.levels())
        first = self.last_id + 1 - self.random.choice([0, 0, 0, 2])
        self.last_id += self.random.randint(1, 3)
        if self.hostile and self.random.random() < 0.002:
            first = self.last_id = self.last_id + 5
        try:
            self.state.apply_diff(
                first, self.last_id, bids, asks, self.now, self.now - self.random.choice([0, 20, -20])
            )
        except (BookGap, BookNotInSync):
            self.gaps += 1
            self._load()
        self.updates += len(bids) + len(asks)
        self._trade()
        if self.random.random() < 0.05:
            self._ticker()

    def _trade(self) -> None:
        count = self.random.randint(0, 6)
        late = self.hostile and self.random.random() < 0.05
        times = sorted(self.now - self.random.randint(-30, 20_000 if late else 150) for _ in range(count))
        self.state.add_trades(
            times,
            [self.mid + self.random.choice([-1, 1, 1]) * self.tick for _ in range(count)],
            [self._quantity() for _ in range(count)],
            [self.random.random() < 0.5 for _ in range(count)],
            self.now,
        )
        self.updates += count

    def _ticker(self) -> None:
        odd = [nan, inf, -inf, -0.0, 0.0, -1.0, 1e308]
        numbers = [self.random.choice(odd) if self.hostile else self.random.uniform(-5, 5) for _ in range(5)]
        self.state.ticker = Ticker24h(*numbers)
        self.updates += 1

    def _check_report(self) -> None:
        try:
            if self.random.random() < 0.1:
                sections = slow_cycle.run(self.state, self.now)
                json.loads(sections)
            check(report.build(self.state, self.now, "node-001", 1))
        except NotPublishable:
            self._load()
            return
        self.reports += 1


def main() -> None:
    """Carry out the command line."""
    parser = argparse.ArgumentParser(description="random updates against the report's contract")
    parser.add_argument("--updates", type=int, default=100_000, help="how many updates (default 100,000)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    fuzz, start = Fuzz(arguments.seed), perf_counter()
    fuzz.run(arguments.updates)
    print(
        f"{fuzz.updates:,} updates, {fuzz.reports:,} reports checked, {fuzz.gaps:,} gaps, {fuzz.restarts:,} markets: "
        f"no bad number ({perf_counter() - start:.0f} s, seed {arguments.seed})"
    )


if __name__ == "__main__":
    main()
