"""An iceberg: an order that shows only a small part of itself and refills it after each trade."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tools.simulator.market import Market, Trade
from tools.simulator.plants.plant import STEPS_PER_SECOND, Plant, SideName, Ticks, outwards, retreat, side_named


class Iceberg(Struct, forbid_unknown_fields=True):
    """A new best level, `distance` away from the old one: `trades` per 30 s take 5 % each, and it is refilled at once."""

    symbol: str
    side: SideName = "bid"
    distance: Ticks = 60
    trades: Annotated[int, Meta(ge=1, le=600)] = 120


class PlantedIceberg(Plant):
    """A best level that keeps trading and never gets smaller for long."""

    alone = True

    def __init__(self, market: Market, given: Iceberg) -> None:
        self._side = side = side_named(market, given.side)
        self._price = price = outwards(market, side, given.distance)
        self._quantity = 2 * market.instrument.level_steps
        self._pause = 30 * STEPS_PER_SECOND / given.trades
        self._since = 0.0
        self._announced = False
        super().__init__(market, {price})
        market.pinned_fair = price + side.inward / 2
        market.place(side, price, self._quantity)
        retreat(market, side, price)
        self.shown = {"side": given.side, "price": price, "qty": self._quantity}

    def step(self, trades: list[Trade]) -> None:
        """Refills the level, and trades with it when a trade is due."""
        market, side, price = self.market, self._side, self._price
        # A trade before the diff that contains the level would look like a trade with the level before it.
        self._announced = self._announced or price not in side.changed
        if not self._announced:
            return
        if side.quantity(price) != self._quantity:
            market.place(side, price, self._quantity)
        self._since += 1
        if self._since >= self._pause:
            self._since -= self._pause
            market.fill(side, self._quantity // 20, trades)
            # An exchange refills the part that shows in the same match.
            market.place(side, price, self._quantity)

    def remove(self) -> None:
        """Leaves a level of usual quantity."""
        super().remove()
        self.market.place(self._side, self._price, self.market.instrument.level_steps)
