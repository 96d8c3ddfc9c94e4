"""What can be put into a market so that it shows: a wall, a vacuum, a spoofer, an iceberg, a crash.

A plant holds some prices: while it is there the market's random orders leave them alone, and the fair price stands
still so that the market does not run away from it. Everything else goes on. The book stays one that an exchange can
have: it never crosses, and the diffs say all that a plant does.

Distances are in ticks from the best price outwards. Quantities are in terms of what the book holds, since a reader of
the market judges them so too: by P95, the 95th percentile of the quantities of all its levels.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from simulator.book_side import Side
from simulator.market import Market, Trade

Ticks = Annotated[int, Meta(ge=1)]
Multiple = Annotated[float, Meta(gt=0, le=1e6)]

_STEPS_PER_SECOND = 20


class BadPlant(ValueError):
    """A plant that does not exist, or that this market has no room for; its text says why."""


class Wall(msgspec.Struct, forbid_unknown_fields=True):
    """A level that holds ``times`` P95."""

    symbol: str
    side: Literal["bid", "ask"] = "ask"
    distance: Ticks = 20
    times: Multiple = 6.0


class Vacuum(msgspec.Struct, forbid_unknown_fields=True):
    """So many neighbouring levels of the smallest quantity there is, between two usual ones."""

    symbol: str
    side: Literal["bid", "ask"] = "ask"
    distance: Ticks = 10
    levels: Annotated[int, Meta(ge=1, le=1000)] = 10


class Spoofer(msgspec.Struct, forbid_unknown_fields=True):
    """A level of ``times`` P95 that is placed and pulled again every half second, and never trades."""

    symbol: str
    side: Literal["bid", "ask"] = "ask"
    distance: Ticks = 60
    times: Multiple = 6.0


class Iceberg(msgspec.Struct, forbid_unknown_fields=True):
    """The best level, ``distance`` away from where it was: ``trades`` in 30 s take 5 % each, and it is refilled."""

    symbol: str
    side: Literal["bid", "ask"] = "bid"
    distance: Ticks = 60
    trades: Annotated[int, Meta(ge=1, le=600)] = 120


class Crash(msgspec.Struct, forbid_unknown_fields=True):
    """Bids retreat until the spread is so many basis points; asks are heavy, and selling speeds up for 18 s of 30."""

    symbol: str
    spread_bps: Annotated[float, Meta(ge=1, le=1000)] = 40.0


class Plant:
    """What one plant does in one market, from its making until :meth:`remove`.

    Attributes:
        prices: those it holds.
        shown: what it put where, for whoever asked for it: prices and quantities in ticks and steps.
    """

    alone: ClassVar[bool] = False
    """Whether it moves the market, so that no other plant can be in it."""

    def __init__(self, market: Market, prices: set[int]) -> None:
        if taken := prices & market.kept:
            raise BadPlant(f"another plant is at {market.instrument.symbol}'s price {min(taken)}, in ticks")
        self.market = market
        self.prices = prices
        self.shown: dict[str, int | str] = {}
        market.plants.append(self)
        market.kept |= prices
        if market.held_fair is None:
            market.held_fair = (market.bids.best + market.asks.best) / 2

    def step(self, trades: list[Trade]) -> None:
        """Act for one step of the market."""

    def remove(self) -> None:
        """Leave usual quantities, or none, and let the random orders go on from there."""
        market = self.market
        market.plants.remove(self)
        market.kept -= self.prices
        if not market.plants:
            market.held_fair = None


class PlantedWall(Plant):
    """A level that nobody touches."""

    def __init__(self, market: Market, given: Wall) -> None:
        self._side = _side(market, given.side)
        self._price = _outwards(market, self._side, given.distance)
        quantity = _large(market, given.times)
        super().__init__(market, {self._price})
        market.place(self._side, self._price, quantity)
        self.shown = {"side": given.side, "price": self._price, "qty": quantity}

    def remove(self) -> None:
        super().remove()
        self.market.place(self._side, self._price, self.market.instrument.level_steps)


class PlantedVacuum(Plant):
    """Thin levels on neighbouring prices, and a usual one at each end, so that it is as long as it was asked for."""

    def __init__(self, market: Market, given: Vacuum) -> None:
        self._side = side = _side(market, given.side)
        _outwards(market, side, given.distance + given.levels + 1)
        first = _outwards(market, side, given.distance)
        prices = [first - side.inward * i for i in range(given.levels + 2)]
        super().__init__(market, set(prices))
        for price in prices:
            market.place(side, price, market.instrument.level_steps)
        self._thin = prices[1:-1]
        for price in self._thin:
            market.place(side, price, 1)
        self.shown = {"side": given.side, "from": min(self._thin), "to": max(self._thin), "levels": given.levels}

    def remove(self) -> None:
        super().remove()
        for price in self._thin:
            self.market.place(self._side, price, self.market.instrument.level_steps)


class PlantedSpoofer(Plant):
    """A large level that comes and goes, each time for long enough to be seen in a diff."""

    _STEPS = 5

    def __init__(self, market: Market, given: Spoofer) -> None:
        self._side = _side(market, given.side)
        self._price = _outwards(market, self._side, given.distance)
        self._quantity = _large(market, given.times)
        super().__init__(market, {self._price})
        self._there = True
        self._since = 0
        market.place(self._side, self._price, self._quantity)
        self.shown = {"side": given.side, "price": self._price, "qty": self._quantity}

    def step(self, trades: list[Trade]) -> None:  # noqa: ARG002 - it never trades
        self._since += 1
        if self._since == self._STEPS:
            self._since = 0
            self._toggle()

    def remove(self) -> None:
        super().remove()
        if self._there:
            self._toggle()

    def _toggle(self) -> None:
        self._there = not self._there
        self.market.place(self._side, self._price, self._quantity if self._there else 0)


class PlantedIceberg(Plant):
    """A best level that is sold (or bought) into again and again and never gets smaller for long."""

    alone = True

    def __init__(self, market: Market, given: Iceberg) -> None:
        self._side = side = _side(market, given.side)
        self._price = price = _outwards(market, side, given.distance)
        self._quantity = 2 * market.instrument.level_steps
        self._pause = 30 * _STEPS_PER_SECOND / given.trades
        self._since = 0.0
        self._announced = False
        super().__init__(market, {price})
        market.held_fair = price + side.inward / 2
        market.place(side, price, self._quantity)
        _retreat(market, side, price)
        self.shown = {"side": given.side, "price": price, "qty": self._quantity}

    def step(self, trades: list[Trade]) -> None:
        market, side, price = self.market, self._side, self._price
        # A trade that was earlier than the diff with the level would be one with what stood there before.
        self._announced = self._announced or price not in side.changed
        if not self._announced:
            return
        if side.quantity(price) != self._quantity:
            market.place(side, price, self._quantity)
        self._since += 1
        if self._since >= self._pause:
            self._since -= self._pause
            market.fill(side, self._quantity // 20, trades)

    def remove(self) -> None:
        super().remove()
        self.market.place(self._side, self._price, self.market.instrument.level_steps)


class PlantedCrash(Plant):
    """A bid side that gives way: each sale takes the best bid, and the next one is lower."""

    alone = True
    _LEVELS = 30
    _HEAVY_LEVELS = 20
    _WAVE_STEPS = 18 * _STEPS_PER_SECOND
    _PERIOD_STEPS = 30 * _STEPS_PER_SECOND
    # 0.6 sales a second at first, twice as many every 3.5 s: the last 5 s always have more than twice those before.
    _SALES_PER_STEP = 0.6 / _STEPS_PER_SECOND
    _DOUBLED_AFTER_STEPS = 3.5 * _STEPS_PER_SECOND
    _FALL = 0.9

    def __init__(self, market: Market, given: Crash) -> None:
        bids, asks, usual = market.bids, market.asks, market.instrument.level_steps
        gap = math.ceil(asks.best * given.spread_bps / 10_000) + 1
        best = asks.best - gap
        if best - self._LEVELS < 1:
            raise BadPlant(f"{market.instrument.symbol}'s bids have no room below a spread of {given.spread_bps:g} bps")
        self._heavy = range(asks.best, asks.best + self._HEAVY_LEVELS)
        self._thin = max(1, usual // 2)
        self._lowest = best * self._FALL
        self._steps = 0
        self._due = 1.0
        super().__init__(market, set(range(best, self._heavy.stop)))
        _retreat(market, bids, best)
        for i in range(self._LEVELS):
            market.place(bids, best - i, usual)
        for price in self._heavy:
            market.place(asks, price, 5 * usual)
        self._follow()
        self.shown = {"best_bid": best, "best_ask": asks.best}

    def step(self, trades: list[Trade]) -> None:
        place = self._steps % self._PERIOD_STEPS
        self._steps += 1
        if place < self._WAVE_STEPS:
            self._due += self._SALES_PER_STEP * 2 ** (place / self._DOUBLED_AFTER_STEPS)
        while self._due >= 1:
            self._due -= 1
            self._sell(trades)

    def remove(self) -> None:
        super().remove()
        for price in self._heavy:
            self.market.place(self.market.asks, price, self.market.instrument.level_steps)

    def _sell(self, trades: list[Trade]) -> None:
        bids = self.market.bids
        if bids.count <= self._LEVELS // 3 or bids.best <= self._lowest:
            return
        before = bids.best
        self.market.fill(bids, bids.quantity(before), trades)
        lower = set(range(bids.best, before))
        self.prices |= lower
        self.market.kept |= lower
        self._follow()

    def _follow(self) -> None:
        market = self.market
        market.place(market.bids, market.bids.best, self._thin)
        market.held_fair = market.bids.best + 0.5


PLANTS: dict[str, tuple[type[Any], type[Any]]] = {
    "wall": (Wall, PlantedWall),
    "vacuum": (Vacuum, PlantedVacuum),
    "spoofer": (Spoofer, PlantedSpoofer),
    "iceberg": (Iceberg, PlantedIceberg),
    "crash": (Crash, PlantedCrash),
}
"""Name -> its parameters and the plant that takes them."""


def _side(market: Market, name: str) -> Side:
    return market.bids if name == "bid" else market.asks


def _outwards(market: Market, side: Side, distance: int) -> int:
    """The price so many ticks from the best; half of what a side can span is left for the market to move in."""
    price = side.best - side.inward * distance
    if price < 1 or distance >= side.span // 2:
        farthest = side.span // 2 - 1
        if side.inward > 0:
            farthest = min(farthest, side.best - 1)
        raise BadPlant(f"{distance} ticks from the best price: {market.instrument.symbol} has room for {farthest}")
    return price


def _large(market: Market, times: float) -> int:
    quantities = sorted(quantity for side in (market.bids, market.asks) for _, quantity in side.levels())
    return math.ceil(times * quantities[len(quantities) * 95 // 100])


def _retreat(market: Market, side: Side, to: int) -> None:
    """Pull every level of ``side`` that is better than ``to``."""
    while (side.best - to) * side.inward > 0:
        if side.count == 1:
            # However far away it is, there is always a level left, and no more than the side can span between two.
            step = min((side.best - to) * side.inward, side.span // 2)
            market.place(side, side.best - side.inward * step, market.instrument.level_steps)
        market.place(side, side.best, 0)
