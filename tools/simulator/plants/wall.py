"""A wall: a level that holds far more than levels usually do."""

from __future__ import annotations

from msgspec import Struct

from tools.simulator.market import Market
from tools.simulator.plants.plant import Multiple, Plant, SideName, Ticks, large, outwards, side_named


class Wall(Struct, forbid_unknown_fields=True):
    """A level that holds ``times`` P95."""

    symbol: str
    side: SideName = "ask"
    distance: Ticks = 20
    times: Multiple = 6.0


class PlantedWall(Plant):
    """A level that nobody touches."""

    def __init__(self, market: Market, given: Wall) -> None:
        self._side = side_named(market, given.side)
        self._price = outwards(market, self._side, given.distance)
        quantity = large(market, given.times)
        super().__init__(market, {self._price})
        market.place(self._side, self._price, quantity)
        self.shown = {"side": given.side, "price": self._price, "qty": quantity}

    def remove(self) -> None:
        super().remove()
        self.market.place(self._side, self._price, self.market.instrument.level_steps)
