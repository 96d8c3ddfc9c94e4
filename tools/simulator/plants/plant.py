"""What all plants have in common: the prices they hold, and how prices and quantities are given."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from tools.simulator.book_side import Side
from tools.simulator.market import Market, Trade

SideName = Literal["bid", "ask"]
Ticks = Annotated[int, Meta(ge=1)]
Multiple = Annotated[float, Meta(gt=0, le=1e6)]

STEPS_PER_SECOND = 20


class BadPlant(ValueError):
    """A plant that does not exist, or that this market has no room for; its text says why."""


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


def side_named(market: Market, name: str) -> Side:
    """``bid`` or ``ask`` of a market."""
    return market.bids if name == "bid" else market.asks


def outwards(market: Market, side: Side, distance: int) -> int:
    """The price so many ticks from the best; half of what a side can span is left for the market to move in."""
    price = side.best - side.inward * distance
    if price < 1 or distance >= side.span // 2:
        farthest = side.span // 2 - 1
        if side.inward > 0:
            farthest = min(farthest, side.best - 1)
        raise BadPlant(f"{distance} ticks from the best price: {market.instrument.symbol} has room for {farthest}")
    return price


def large(market: Market, times: float) -> int:
    """``times`` P95 of the quantities of all levels."""
    quantities = sorted(quantity for side in (market.bids, market.asks) for _, quantity in side.levels())
    return math.ceil(times * quantities[len(quantities) * 95 // 100])


def retreat(market: Market, side: Side, to: int) -> None:
    """Pull every level of ``side`` that is better than ``to``."""
    while (side.best - to) * side.inward > 0:
        if side.count == 1:
            # However far away it is, there is always a level left, and no more than the side can span between two.
            step = min((side.best - to) * side.inward, side.span // 2)
            market.place(side, side.best - side.inward * step, market.instrument.level_steps)
        market.place(side, side.best, 0)
