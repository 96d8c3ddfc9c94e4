"""A vacuum: neighbouring levels that hold next to nothing."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tools.simulator.market import Market
from tools.simulator.plants.plant import Plant, SideName, Ticks, outwards, side_named


class Vacuum(Struct, forbid_unknown_fields=True):
    """So many neighbouring levels of the smallest quantity there is, between two usual ones."""

    symbol: str
    side: SideName = "ask"
    distance: Ticks = 10
    levels: Annotated[int, Meta(ge=1, le=1000)] = 10


class PlantedVacuum(Plant):
    """Thin levels on neighbouring prices, and a usual one at each end, so that it is as long as it was asked for."""

    def __init__(self, market: Market, given: Vacuum) -> None:
        self._side = side = side_named(market, given.side)
        outwards(market, side, given.distance + given.levels + 1)
        first = outwards(market, side, given.distance)
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
