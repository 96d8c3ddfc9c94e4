"""One symbol's market: a limit order book and the random order flow that moves it. No I/O, no clock.

Each :meth:`Market.step` is one small slice of trading (50 ms at the default rates): a fair price makes a random walk
whose volatility reverts to a mean, stale quotes are pulled, quotes follow the fair price, market orders take what
they find at the best prices, and limit orders are placed, resized and cancelled around the top. Everything is drawn
from one generator seeded by (seed, symbol): step *n* of a symbol is the same in every run, whatever else is listed.

Prices are whole ticks, quantities whole steps (see :mod:`tools.simulator.symbols`).
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

_FEWEST_LEVELS = 10
_MOST_LEVELS_PER_TRADE = 6

# Measured: a market order empties a level or two about one time in four.
_FILLS_PER_MARKET_ORDER = 1.3
_LONGEST_JUMP = 20


def _normals(name: str, count: int) -> list[float]:
    draw = random.Random(name)
    return [draw.gauss(0.0, 1.0) for _ in range(count)]


# Drawn from a table, not afresh: half the cost. Sizes are log-normal, with a wall now and then. With a thousand markets
# nearly every access is a cache miss, so tables are arrays, which have the numbers in them, and shared by all.
_NORMALS = array("d", _normals("normals", 4096))
_SIZES = array("d", [*(math.exp(0.7 * x) for x in _normals("sizes", 4093)), 12.0, 18.0, 25.0])
_SIZES_COUNT = len(_SIZES)

_exp, _log = math.exp, math.log


@cache
def _shape(levels: int) -> tuple[array[float], array[float]]:
    """Mean size of a level by its distance from the best, as two factors: it rises first, and falls farther out."""
    near = array("d", [0.35 + min(i, 12) / 12 for i in range(levels + 1)])
    return near, array("d", [math.exp(-1.5 * i / levels) for i in range(levels + 1)])


@dataclass(frozen=True, slots=True)
class Activity:
    """How busy a symbol is. Rates are means per second of market time, the walk's size is in ticks per √second."""

    orders_per_second: float = 16.0
    trades_per_second: float = 5.0
    levels: int = 400
    ticks_per_root_second: float = 1.5
    steps_per_second: int = 20


class Trade(NamedTuple):
    """One fill of a market order. ``buyer_is_maker`` is true when the aggressor sold."""

    trade_id: int
    price: int
    quantity: int
    buyer_is_maker: bool


class Diff(NamedTuple):
    """What changed in a book: update ids ``first`` to ``last``, new quantity by price, 0 for a level that is gone."""

    first: int
    last: int
    bids: dict[int, int]
    asks: dict[int, int]


class Plant(Protocol):
    """Something that was put into a market (:mod:`tools.simulator.plants`)."""

    def step(self, trades: list[Trade]) -> None:
        """Act for one step, after the random orders; fills are added to ``trades``."""


class Market:
    """The book and order flow of one instrument. Update and trade ids start somewhat above ``first_id``.

    Attributes:
        plants: what acts in it besides the random orders.
        kept: prices that are theirs: no random order touches them, and a market order stops before them.
        held_fair: where the fair price stands instead of walking, None while it walks.
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
        self.kept: set[int] = set()
        self.held_fair: float | None = None
        self.update_id = first_id + int(chance() * 1e6)
        self.next_first_id = self.update_id + 1

        # The day so far, as if the market had been open before: the ticker's 24 hours.
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
        """Trade for one step; the fills it brought. Book changes add up until :meth:`take_diff`."""
        chance, bids, asks = self._chance, self.bids, self.asks
        volatility = self._log_volatility
        volatility += 0.1 * _NORMALS[int(4096 * chance())] - 0.02 * volatility
        self._log_volatility = volatility
        fair = self._fair + self._ticks_per_step * _exp(volatility) * _NORMALS[int(4096 * chance())]
        if fair < self._floor:
            fair = 2 * self._floor - fair
        if self.held_fair is not None:
            fair = self.held_fair
        self._fair = fair
        if asks.best <= fair or bids.best >= fair:
            self._pull_overrun(fair)
        if asks.best - bids.best > 1:
            self._quote_inside(bids, min(math.ceil(fair) - 1, bids.best + _LONGEST_JUMP))
            self._quote_inside(asks, max(math.floor(fair) + 1, asks.best - _LONGEST_JUMP))

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
        """The book changes since the last call, ids connecting to it; None if there were none."""
        first, last = self.next_first_id, self.update_id
        if first > last:
            return None
        diff = Diff(first, last, self.bids.changed, self.asks.changed)
        self.bids.changed, self.asks.changed = {}, {}
        self.next_first_id = last + 1
        return diff

    def spend_update_id(self) -> None:
        """Use up ``next_first_id`` on nothing: the next diff will start one later."""
        self.update_id += 1
        self.next_first_id += 1

    def place(self, side: Side, price: int, quantity: int) -> None:
        """Make ``quantity`` the one at ``price``, as :meth:`Side.set`."""
        self.update_id += 1
        side.set(price, quantity)

    def fill(self, side: Side, quantity: int, trades: list[Trade]) -> None:
        """Trade ``quantity`` at the best price of ``side``, which must have it and, if that is all, another level."""
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
        if price not in self.kept:
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

    def _pull_overrun(self, fair: float) -> None:
        """Pull up to three quotes a side that the fair price has overrun."""
        bids, asks = self.bids, self.asks
        for _ in range(3):
            if asks.best <= fair and asks.count > _FEWEST_LEVELS:
                self._set(asks, asks.best, 0)
            if bids.best >= fair and bids.count > _FEWEST_LEVELS:
                self._set(bids, bids.best, 0)

    def _quote_inside(self, side: Side, price: int) -> None:
        """Half of the time, make ``price`` the side's new best if it lies inside the spread."""
        if not self.bids.best < price < self.asks.best or self._chance() < 0.5:
            return
        while (price - side.worst) * side.inward >= side.span:
            self._set(side, side.worst, 0)
        self._set(side, price, self._quantity(0))

    def _market_order(self, is_buy: bool, trades: list[Trade]) -> None:
        side = self.asks if is_buy else self.bids
        wanted = self._quantity(0) * 0.6
        for _ in range(_MOST_LEVELS_PER_TRADE):
            if wanted < 1 or side.count <= _FEWEST_LEVELS or side.best in self.kept:
                return
            filled = min(side.quantity(side.best), int(wanted))
            wanted -= filled
            self.fill(side, filled, trades)

    def _limit_order(self, side: Side) -> None:
        """Place an order at a random distance from the best price, or resize or cancel what is there."""
        chance, inward = self._chance, side.inward
        distance = int(-_log(1.0 - chance()) * self._reach)
        price = side.best - inward * distance
        if price < 1 or (side.worst - price) * inward > 0:
            return
        quantity = 0
        if not (side.quantity(price) and side.count > _FEWEST_LEVELS and chance() < 0.35):
            quantity = self._quantity(distance)
        if price not in self.kept:
            self.update_id += 1
            side.set(price, quantity)

    def _keep_depth(self, side: Side) -> None:
        """Cancel the farthest level of a side that has too many, extend one that has too few."""
        count, wanted = side.count, self._levels
        if count > wanted and count > _FEWEST_LEVELS:
            self._set(side, side.worst, 0)
        elif count < wanted:
            price = side.worst - side.inward * (2 if self._chance() < 0.25 else 1)
            if price >= 1 and (side.best - price) * side.inward < side.span:
                self._set(side, price, self._quantity(wanted))
