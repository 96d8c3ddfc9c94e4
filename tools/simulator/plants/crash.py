"""A crash: the bids retreat while selling accelerates."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta, Struct

from tools.simulator.market import Market, Trade
from tools.simulator.plants.plant import STEPS_PER_SECOND, BadPlant, Plant, retreat


class Crash(Struct, forbid_unknown_fields=True):
    """Bids retreat until the spread is `spread_bps`; asks are heavy, and selling accelerates for 18 s of every 30 s."""

    symbol: str
    spread_bps: Annotated[float, Meta(ge=1, le=1000)] = 40.0


class PlantedCrash(Plant):
    """A bid side that gives way: each sale takes the best bid, and the next bid is lower."""

    alone = True
    _LEVELS = 30
    _HEAVY_LEVELS = 20
    _WAVE_STEPS = 18 * STEPS_PER_SECOND
    _PERIOD_STEPS = 30 * STEPS_PER_SECOND
    # 0.6 sales per second at first, doubled every 3.5 s: the last 5 s always have more than twice the sales of the 5 s before.
    _SALES_PER_STEP = 0.6 / STEPS_PER_SECOND
    _DOUBLED_AFTER_STEPS = 3.5 * STEPS_PER_SECOND
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
        retreat(market, bids, best)
        for i in range(self._LEVELS):
            market.place(bids, best - i, usual)
        for price in self._heavy:
            market.place(asks, price, 5 * usual)
        self._follow()
        self.shown = {"best_bid": best, "best_ask": asks.best}

    def step(self, trades: list[Trade]) -> None:
        """Sells what is due in this step."""
        place = self._steps % self._PERIOD_STEPS
        self._steps += 1
        if place < self._WAVE_STEPS:
            self._due += self._SALES_PER_STEP * 2 ** (place / self._DOUBLED_AFTER_STEPS)
        while self._due >= 1:
            self._due -= 1
            self._sell(trades)

    def remove(self) -> None:
        """Leaves asks of usual quantity."""
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
        self.market.reserved |= lower
        self._follow()

    def _follow(self) -> None:
        market = self.market
        market.place(market.bids, market.bids.best, self._thin)
        market.pinned_fair = market.bids.best + 0.5
