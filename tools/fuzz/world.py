"""The truth: random markets with their whole books and all their trades. Pure and seeded; no I/O, no clock.

Prices are whole ticks, quantities whole lots. Both are written as the exchange does, with eight decimals.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

TOLD_LEVELS = 1000
"""Diffs tell nothing of levels beyond the best 1,000 of a side."""
SHOWN_LEVELS = 20
PLACES = 8

Levels = tuple[tuple[int, int], ...]
"""(ticks, lots) pairs, best first."""


@dataclass(frozen=True)
class Kind:
    """What a market is like.

    Attributes:
        tick_decimals, lot_decimals: decimal places of prices and quantities.
        start: first price, in ticks.
        levels: about how many levels a side has.
        changes: about how many levels change in a step.
        trades: about how many trades a step has.
        gap: levels are up to this many ticks apart.
        lots: largest quantity of a level.
        may_be_empty: whether trades may empty a side.
        drift: how often a trend begins, per step.
    """

    tick_decimals: int
    lot_decimals: int
    start: int
    levels: int
    changes: float = 3.0
    trades: float = 0.6
    gap: int = 3
    lots: int = 100_000
    may_be_empty: bool = False
    drift: float = 0.004


KINDS: dict[str, Kind] = {
    "deep": Kind(2, 5, 6_000_000, 1800, drift=0.02),
    "told": Kind(4, 1, 300_000, 1010, gap=2, lots=5_000, drift=0.02),
    "medium": Kind(2, 3, 350_000, 300),
    "satoshi": Kind(8, 0, 40, 38, gap=1, lots=90_000_000, drift=0.05),
    "fine": Kind(8, 8, 12_345_678, 400, lots=10**10),
    "coarse": Kind(0, 2, 90_000_000, 150, gap=40),
    "thin": Kind(5, 1, 70_000, 12, changes=1.0, trades=0.3, gap=50, may_be_empty=True),
    "quiet": Kind(3, 2, 7_000, 60, changes=0.1, trades=0.01),
}


class Trade(NamedTuple):
    """One trade; ``ms`` is the exchange's time."""

    ms: int
    trade_id: int
    ticks: int
    lots: int
    is_buy: bool


class Diff(NamedTuple):
    """What is told of a book's changes: (ticks, lots), 0 for a level that is gone."""

    first: int
    last: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Shown(NamedTuple):
    """What a report must show of a book.

    Attributes:
        bids, asks: the best levels.
        told: whether every change was told that led there; otherwise only an audit can know the book.
    """

    bids: Levels
    asks: Levels
    told: bool


class Side:
    """One side of a true book. ``sign`` is 1 for bids and -1 for asks: the keys, sign x ticks, rise towards the best."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.lots: dict[int, int] = {}
        self.changed: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def set(self, key: int, lots: int) -> None:
        """Set a level's quantity; 0 removes it."""
        if lots:
            if key not in self.lots:
                insort(self.keys, key)
            self.lots[key] = lots
        elif self.lots.pop(key, 0):
            del self.keys[bisect_left(self.keys, key)]
        self.changed[key] = lots

    def top(self, count: int) -> Levels:
        """The best levels."""
        lots, sign = self.lots, self.sign
        return tuple([(key * sign, lots[key]) for key in reversed(self.keys[-count:])])

    def take_told(self) -> list[tuple[int, int]]:
        """The changes since the last call, without those of levels beyond the told ones."""
        changed, self.changed = self.changed, {}
        if len(self.keys) > TOLD_LEVELS:
            last = self.keys[-TOLD_LEVELS]
            changed = {key: lots for key, lots in changed.items() if key >= last}
        return [(key * self.sign, lots) for key, lots in changed.items()]


class Market:
    """One symbol's market.

    Attributes:
        bids, asks: the true book.
        update_id, trade_id: of the newest update and trade.
        trades: all trades, in their order; the ids of some may start again.
        times: their times, ms.
        net: sums of what the first 0, 1, 2 ... trades bought minus what they sold, in lots.
        shown: what a report must show that was made from an update id, for the newest ids.
        forgotten: older ids. A report may still be made from one, if its book could not be loaded again for minutes.
        untold: keys of the levels whose change was not told, until they are told.
    """

    def __init__(self, symbol: str, kind: Kind, random: Random, keep_shown: int = 1200) -> None:
        self.symbol, self.kind, self.random = symbol, kind, random
        self.bids, self.asks = Side(1), Side(-1)
        self.update_id = random.randint(10**9, 10**10)
        self.trade_id = random.randint(10**9, 10**10)
        self._next_start = 10**9
        self.trades: list[Trade] = []
        self.times: list[int] = []
        self.net: list[int] = [0]
        self.shown: dict[int, Shown] = {}
        self.forgotten: set[int] = set()
        self.untold: set[int] = set()
        self._keep_shown = keep_shown
        self._trend, self._trend_left = 0, 0
        self._price_unit: int = 10 ** (PLACES - kind.tick_decimals)
        self._lot_unit: int = 10 ** (PLACES - kind.lot_decimals)
        key = kind.start
        for side, best in ((self.bids, key), (self.asks, -key - 1)):
            self._extend(side, kind.levels, best)
            side.changed.clear()
        self._first_id = self.update_id + 1
        self.note()

    # What happens.

    def step(self, ms: int, busy: float = 1.0) -> list[Trade]:
        """Let a little happen at the exchange's time ``ms``, ``busy`` times as much as usual; return its trades."""
        random, kind, made = self.random, self.kind, len(self.trades)
        for _ in range(_count(random, kind.trades * busy)):
            self._market_order(ms)
        for _ in range(_count(random, kind.changes * busy)):
            self._limit_order()
        if not self._trend_left and random.random() < kind.drift:
            self._trend = random.choice((1, -1)) * random.choice((1, 3, 10, 40))
            self._trend_left = random.randint(5, 60)
        if self._trend_left:
            self._trend_left -= 1
            self.move(self._trend)
        if self.bids.keys and self.asks.keys and random.random() < 0.5:
            spread = -self.asks.keys[-1] - self.bids.keys[-1]
            if spread > 3 * kind.gap:  # somebody quotes inside of it
                side = random.choice((self.bids, self.asks))
                self._set(side, side.keys[-1] + random.randint(1, spread // 2), self._lots())
        for side in (self.bids, self.asks):
            missing = kind.levels - len(side)
            if missing > 0 and (not kind.may_be_empty or random.random() < 0.3):
                self._extend(side, min(missing, 1 + kind.levels // 20))
        return self.trades[made:]

    def move(self, levels: int) -> None:
        """Let the price rise by so many levels of the asks, or fall by so many of the bids."""
        gone, grows = (self.asks, self.bids) if levels > 0 else (self.bids, self.asks)
        keys = gone.keys[-abs(levels) :]
        low, high = (self.kind.start // 4, self.kind.start * 4) if self.kind.start < 1000 else (0, 10**18)
        if not keys or not low <= abs(keys[0]) <= high:
            return  # a price of few ticks must not reach 0
        for key in keys:
            self._set(gone, key, 0)
        # The other side moves in. Key by key, on its own axis.
        for key in [-key for key in reversed(keys)]:
            if self.random.random() < 0.8 and not self._meets(grows, key):
                self._set(grows, key, self._lots())
        surplus = len(grows) - self.kind.levels - abs(levels)
        for key in grows.keys[: max(0, surplus)]:
            self._set(grows, key, 0)
        if not gone.keys and not self.kind.may_be_empty:
            self._extend(gone, self.kind.levels, keys[0] - 1)

    def change_untold(self) -> None:
        """Change a level near the best price, and never tell."""
        side = self.random.choice((self.bids, self.asks))
        known = side.keys[-2 * SHOWN_LEVELS :]
        if len(known) < 5:
            return
        key = self.random.choice(known[:-1])
        if key not in side.changed:
            lots = self._lots() if self.random.random() < 0.7 else 0
            side.set(key, lots)
            del side.changed[key]
            self.untold.add(key)

    def renumber(self, *, trades: bool) -> None:
        """Start the update ids, and perhaps the trade ids, again, with numbers that were never used."""
        self._next_start -= 10**7
        self.update_id = self._next_start
        self._first_id = self.update_id + 1
        if trades:
            self.trade_id = self._next_start
        self.note()

    # What is told of it.

    def take_diff(self) -> Diff | None:
        """What has changed since the last call; ``None`` if nothing has."""
        if self._first_id > self.update_id:
            return None
        for side in (self.bids, self.asks):
            self.untold -= side.changed.keys()
        diff = Diff(self._first_id, self.update_id, self.bids.take_told(), self.asks.take_told())
        self._first_id = self.update_id + 1
        self.note()
        return diff

    def note(self) -> None:
        """Keep what a report made from the newest update must show."""
        self.shown[self.update_id] = Shown(self.bids.top(SHOWN_LEVELS), self.asks.top(SHOWN_LEVELS), not self.untold)
        if len(self.shown) > self._keep_shown:
            oldest = next(iter(self.shown))
            del self.shown[oldest]
            self.forgotten.add(oldest)

    def price_units(self, ticks: int) -> int:
        """A price in units of 1e-8."""
        return ticks * self._price_unit

    def lot_units(self, lots: int) -> int:
        """A quantity in units of 1e-8."""
        return lots * self._lot_unit

    def price_text(self, ticks: int) -> str:
        """A price as decimal text."""
        return decimal_text(ticks * self._price_unit)

    def lots_text(self, lots: int) -> str:
        """A quantity as decimal text."""
        return decimal_text(lots * self._lot_unit)

    def levels_text(self, levels: Iterable[tuple[int, int]]) -> str:
        """Levels as JSON."""
        price, lot = self._price_unit, self._lot_unit
        return ",".join([f'["{decimal_text(t * price)}","{decimal_text(n * lot)}"]' for t, n in levels])

    # How it happens.

    def _set(self, side: Side, key: int, lots: int) -> None:
        self.update_id += 1
        side.set(key, lots)

    def _lots(self) -> int:
        return 1 + int(self.kind.lots * self.random.random() ** 4)

    def _meets(self, side: Side, key: int) -> bool:
        """Whether a level there would meet the other side, or have no price."""
        other = self.asks if side is self.bids else self.bids
        return (bool(other.keys) and -other.keys[-1] <= key) or key * side.sign < 1

    def _market_order(self, ms: int) -> None:
        is_buy = self.random.random() < 0.5
        side = self.asks if is_buy else self.bids
        for _ in range(self.random.choice((1, 1, 1, 2, 4))):
            if len(side) <= (0 if self.kind.may_be_empty else 3):
                return
            key = side.keys[-1]
            there = side.lots[key]
            lots = there if self.random.random() < 0.3 else self.random.randint(1, there)
            self._set(side, key, there - lots)
            self.trade_id += 1
            self.trades.append(Trade(ms, self.trade_id, key * side.sign, lots, is_buy))
            self.times.append(ms)
            self.net.append(self.net[-1] + (lots if is_buy else -lots))

    def _limit_order(self) -> None:
        random = self.random
        side = self.bids if random.random() < 0.5 else self.asks
        if not side.keys:
            return
        place = int(random.expovariate(6 / (len(side) + 1)))
        key = side.keys[max(0, len(side) - 1 - place)]
        what = random.random()
        if what < 0.35:
            if len(side) > 3 or self.kind.may_be_empty:
                self._set(side, key, 0)
        elif what < 0.7:
            self._set(side, key, self._lots())
        else:
            key += random.randint(-self.kind.gap, 1)
            if not self._meets(side, key):
                self._set(side, key, self._lots())

    def _extend(self, side: Side, count: int, best: int | None = None) -> None:
        """Add levels behind the worst one; for an empty side, from ``best`` on or beside the other side."""
        if side.keys:
            key = side.keys[0] - 1
        elif best is not None:
            key = best
        else:
            other = self.asks if side is self.bids else self.bids
            key = -other.keys[-1] - 1 if other.keys else side.sign * self.kind.start - (side.sign < 0)
        for _ in range(count):
            if key * side.sign < 1:
                return
            if not self._meets(side, key):
                self._set(side, key, self._lots())
            key -= self.random.randint(1, self.kind.gap)


def decimal_text(units: int) -> str:
    """A whole number of 1e-8 as decimal text.

    >>> decimal_text(250_000_001)
    '2.50000001'
    """
    whole, part = divmod(units, 100_000_000)
    return f"{whole}.{part:08d}"


def _count(random: Random, mean: float) -> int:
    """A random number with this mean: geometric, so that bursts come."""
    count, chance = 0, mean / (1 + mean)
    while random.random() < chance:
        count += 1
    return count
