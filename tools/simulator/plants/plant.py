"""What all plants share: the prices they reserve, and the units of their prices and quantities."""

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
    """A plant that does not exist or does not fit into this market; its text says why."""


class Plant:
    """One plant in one market, from its creation until remove().

    Attributes:
        prices: the prices that it reserves.
        shown: the answer to the request: prices in ticks, quantities in steps.

    Raises:
        BadPlant: another plant has reserved one of the prices.
    """

    alone: ClassVar[bool] = False
    """True if it moves the market, so that no other plant can exist beside it."""

    def __init__(self, market: Market, prices: set[int]) -> None:
        if taken := prices & market.reserved:
            raise BadPlant(f"another plant is at {market.instrument.symbol}'s price {min(taken)}, in ticks")
        self.market = market
        self.prices = prices
        self.shown: dict[str, int | str] = {}
        market.plants.append(self)
        market.reserved |= prices
        if market.pinned_fair is None:
            market.pinned_fair = (market.bids.best + market.asks.best) / 2

    def step(self, trades: list[Trade]) -> None:
        """Acts for one step of the market; appends its fills to `trades`."""

    def remove(self) -> None:
        """Releases its prices to the random orders."""
        market = self.market
        market.plants.remove(self)
        market.reserved -= self.prices
        if not market.plants:
            market.pinned_fair = None


def side_named(market: Market, name: str) -> Side:
    """The side of a market named `bid` or `ask`."""
    return market.bids if name == "bid" else market.asks


def outwards(market: Market, side: Side, distance: int) -> int:
    """The price `distance` ticks from the best price.

    Raises:
        BadPlant: the price is not above 0, or less than half of a side's span would be left for the market to move in.
    """
    price = side.best - side.inward * distance
    if price < 1 or distance >= side.span // 2:
        farthest = side.span // 2 - 1
        if side.inward > 0:
            farthest = min(farthest, side.best - 1)
        raise BadPlant(f"{distance} ticks from the best price: {market.instrument.symbol} has room for {farthest}")
    return price


def large(market: Market, times: float) -> int:
    """`times` P95 of the quantities of all levels, in steps."""
    quantities = sorted(quantity for side in (market.bids, market.asks) for _, quantity in side.levels())
    return math.ceil(times * quantities[len(quantities) * 95 // 100])


def retreat(market: Market, side: Side, to: int) -> None:
    """Pulls every level of `side` that is better than `to`."""
    while (side.best - to) * side.inward > 0:
        if side.count == 1:
            # A side always keeps one level, and two levels are never farther apart than it can span.
            step = min((side.best - to) * side.inward, side.span // 2)
            market.place(side, side.best - side.inward * step, market.instrument.level_steps)
        market.place(side, side.best, 0)
