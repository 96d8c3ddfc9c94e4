"""One symbol's market: a limit order book and the random order flow that moves it. No I/O, no clock.

Each Market.step() is a short period of trading (50 ms at the default rates). A fair price makes a random walk with
mean-reverting volatility, stale quotes are pulled, quotes follow the fair price, market orders trade at the best prices,
and limit orders are placed, resized and cancelled near the top. One generator, seeded by (seed, symbol), draws
everything: step n of a symbol is the same in every run, whatever other symbols are listed.

Prices are whole ticks, quantities whole steps (see symbols.py).
"""

from __future__ import annotations

import math
import random
from array import array
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol

from tools.simulator.book_side import Side
from tools.simulator.symbols import Instrument

_MIN_LEVELS = 10
_MAX_LEVELS_PER_TRADE = 6

# Measured: about one market order in four empties one or two levels.
_FILLS_PER_MARKET_ORDER = 1.3
_MAX_JUMP = 20


def _normals(name: str, count: int) -> list[float]:
    draw = random.Random(name)
    return [draw.gauss(0.0, 1.0) for _ in range(count)]


# Numbers come from a table, which costs half as much as drawing them. Sizes are log-normal, with an occasional wall. With
# a thousand markets nearly every access is a cache miss, so the tables are arrays of numbers and shared by all markets.
_NORMALS = array("d", _normals("normals", 4096))
_SIZES = array("d", [*(math.exp(0.7 * x) for x in _normals("sizes", 4093)), 12.0, 18.0, 25.0])
_SIZES_COUNT = len(_SIZES)

_exp, _log = math.exp, math.log


@cache
def _shape(levels: int) -> tuple[array[float], array[float]]:
    """Mean size of a level by its distance from the best price, as two factors: it rises near it and falls farther out."""
    near = array("d", [0.35 + min(i, 12) / 12 for i in range(levels + 1)])
    return near, array("d", [math.exp(-1.5 * i / levels) for i in range(levels + 1)])


@dataclass(frozen=True, slots=True)
class Activity:
    """How busy a symbol is: mean rates per second of market time, and the random walk in ticks per √second.

    Diffs tell nothing of a level that is not among the `told_levels` best of its side, although the book has it.
    """

    orders_per_second: float = 16.0
    trades_per_second: float = 5.0
    levels: int = 400
    ticks_per_root_second: float = 1.5
    steps_per_second: int = 20
    told_levels: int = 1000


class Trade(NamedTuple):
    """One fill of a market order. `buyer_is_maker` is true when the aggressor sold."""

    trade_id: int
    price: int
    quantity: int
    buyer_is_maker: bool


class Diff(NamedTuple):
    """What changed in a book: update ids `first` to `last`, and price -> new quantity, 0 for a removed level."""

    first: int
    last: int
    bids: dict[int, int]
    asks: dict[int, int]


class Plant(Protocol):
    """A pattern planted in a market (see plants/)."""

    def step(self, trades: list[Trade]) -> None:
        """Acts for one step, after the random orders; appends its fills to `trades`."""


class Market:
    """The book and order flow of one instrument. Update and trade ids start slightly above `first_id`.

    Attributes:
        plants: they act after the random orders.
        reserved: prices of the plants: no random order touches them, and a market order stops before them.
        pinned_fair: where the fair price is pinned; None while it walks.
    """

    def __init__(
        self, instrument: Instrument, seed: int, activity: Activity | None = None, first_id: int = 1_000_000
    ) -> None:
        self.instrument = instrument
        self.activity = activity = activity or Activity()
        self._chance = chance = random.Random(f"{seed} {instrument.symbol}").random
        start = instrument.start_ticks
        self._fair = float(start)
        self._floor = min(start, 100) / 2
        self._log_volatility = 0.0
        self._ticks_per_step = activity.ticks_per_root_second / math.sqrt(activity.steps_per_second)
        self._no_orders = math.exp(-activity.orders_per_second / activity.steps_per_second)
        self._no_trades = math.exp(-activity.trades_per_second / _FILLS_PER_MARKET_ORDER / activity.steps_per_second)
        self._levels = activity.levels
        self._reach = max(4.0, activity.levels / 10)
        self._level_steps = instrument.level_steps
        self._near, self._far = _shape(activity.levels)
        self.bids = Side(+1, self._opening(start - 1, -1), 4 * activity.levels)
        self.asks = Side(-1, self._opening(start + 1, +1), 4 * activity.levels)
        self.plants: list[Plant] = []
        self.reserved: set[int] = set()
        self.pinned_fair: float | None = None
        self.update_id = first_id + int(chance() * 1e6)
        self.next_first_id = self.update_id + 1

        # Statistics of the last 24 hours, as if the market had been open before.
        self.first_trade_id = first_id + int(chance() * 1e6)
        trades_a_day = round(activity.trades_per_second * 86_400)
        self.trade_id = self.first_trade_id + trades_a_day
        self.open = max(1, round(start * (1 + 0.03 * (chance() - 0.5))))
        self.high = max(start, self.open) + round(0.01 * start * chance())
        self.low = max(1, min(start, self.open) - round(0.01 * start * chance()))
        self.volume = max(1, trades_a_day) * instrument.level_steps // 2
        self.turnover = self.volume * (self.high + self.low) // 2
        self.last_price, self.last_quantity = start, instrument.level_steps

    def step(self) -> list[Trade]:
        """Trades for one step and returns the fills. Book changes add up until take_diff()."""
        chance, bids, asks = self._chance, self.bids, self.asks
        volatility = self._log_volatility
        volatility += 0.1 * _NORMALS[int(4096 * chance())] - 0.02 * volatility
        self._log_volatility = volatility
        fair = self._fair + self._ticks_per_step * _exp(volatility) * _NORMALS[int(4096 * chance())]
        if fair < self._floor:
            fair = 2 * self._floor - fair
        if self.pinned_fair is not None:
            fair = self.pinned_fair
        self._fair = fair
        if asks.best <= fair or bids.best >= fair:
            self._pull_crossed(fair)
        if asks.best - bids.best > 1:
            self._quote_inside(bids, min(math.ceil(fair) - 1, bids.best + _MAX_JUMP))
            self._quote_inside(asks, max(math.floor(fair) + 1, asks.best - _MAX_JUMP))

        trades: list[Trade] = []
        left = chance()
        while left > self._no_trades:
            left *= chance()
            lean = max(-0.35, min(0.35, 0.1 * (fair - (bids.best + asks.best) / 2)))
            self._market_order(chance() < 0.5 + lean, trades)
        left, enough = chance(), self._no_orders
        while left > enough:
            left *= chance()
            self._limit_order(bids if chance() < 0.5 else asks)
        wanted = self._levels
        if bids.count != wanted:
            self._keep_depth(bids)
        if asks.count != wanted:
            self._keep_depth(asks)
        for plant in self.plants:
            plant.step(trades)
        return trades

    def take_diff(self) -> Diff | None:
        """The book changes since the last call, with connecting ids; None if nothing changed."""
        first, last = self.next_first_id, self.update_id
        if first > last:
            return None
        told = self.activity.told_levels
        diff = Diff(first, last, self.bids.told(told), self.asks.told(told))
        self.bids.changed, self.asks.changed = {}, {}
        self.next_first_id = last + 1
        return diff

    def spend_update_id(self) -> None:
        """Skips `next_first_id`: the next diff starts one id later."""
        self.update_id += 1
        self.next_first_id += 1

    def place(self, side: Side, price: int, quantity: int) -> None:
        """Sets the quantity at a price, as Side.set(), under a new update id."""
        self.update_id += 1
        side.set(price, quantity)

    def fill(self, side: Side, quantity: int, trades: list[Trade]) -> None:
        """Trades `quantity` at the best price of `side`, which must hold it; the side must keep at least one level."""
        price = side.best
        self.place(side, price, side.quantity(price) - quantity)
        self.trade_id += 1
        trades.append(Trade(self.trade_id, price, quantity, side is self.bids))
        self.last_price, self.last_quantity = price, quantity
        self.volume += quantity
        self.turnover += price * quantity
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price

    def _set(self, side: Side, price: int, quantity: int) -> None:
        if price not in self.reserved:
            self.update_id += 1
            side.set(price, quantity)

    def _opening(self, best: int, outward: int) -> dict[int, int]:
        levels, price = {}, best
        for i in range(self.activity.levels):
            if price < 1:
                break
            levels[price] = self._quantity(i)
            price += outward * (2 if self._chance() < 0.25 else 1)
        return levels

    def _quantity(self, distance: int) -> int:
        size = _SIZES[int(self._chance() * _SIZES_COUNT)]
        place = distance if distance < self._levels else self._levels
        return int(self._level_steps * self._near[place] * self._far[place] * size) + 1

    def _pull_crossed(self, fair: float) -> None:
        """Pulls up to three quotes per side that the fair price has crossed."""
        bids, asks = self.bids, self.asks
        for _ in range(3):
            if asks.best <= fair and asks.count > _MIN_LEVELS:
                self._set(asks, asks.best, 0)
            if bids.best >= fair and bids.count > _MIN_LEVELS:
                self._set(bids, bids.best, 0)

    def _quote_inside(self, side: Side, price: int) -> None:
        """Half of the time, makes `price` the side's new best price if it is inside the spread."""
        if not self.bids.best < price < self.asks.best or self._chance() < 0.5:
            return
        while (price - side.worst) * side.inward >= side.span:
            self._set(side, side.worst, 0)
        self._set(side, price, self._quantity(0))

    def _market_order(self, is_buy: bool, trades: list[Trade]) -> None:
        side = self.asks if is_buy else self.bids
        wanted = self._quantity(0) * 0.6
        for _ in range(_MAX_LEVELS_PER_TRADE):
            if wanted < 1 or side.count <= _MIN_LEVELS or side.best in self.reserved:
                return
            filled = min(side.quantity(side.best), int(wanted))
            wanted -= filled
            self.fill(side, filled, trades)

    def _limit_order(self, side: Side) -> None:
        """Places an order at a random distance from the best price, or resizes or cancels the level there."""
        chance, inward = self._chance, side.inward
        distance = int(-_log(1.0 - chance()) * self._reach)
        price = side.best - inward * distance
        if price < 1 or (side.worst - price) * inward > 0:
            return
        quantity = 0
        if not (side.quantity(price) and side.count > _MIN_LEVELS and chance() < 0.35):
            quantity = self._quantity(distance)
        if price not in self.reserved:
            self.update_id += 1
            side.set(price, quantity)

    def _keep_depth(self, side: Side) -> None:
        """Removes the farthest level of a side that has too many levels; adds one to a side that has too few."""
        count, wanted = side.count, self._levels
        if count > wanted and count > _MIN_LEVELS:
            self._set(side, side.worst, 0)
        elif count < wanted:
            price = side.worst - side.inward * (2 if self._chance() < 0.25 else 1)
            if price >= 1 and (side.best - price) * side.inward < side.span:
                self._set(side, price, self._quantity(wanted))
