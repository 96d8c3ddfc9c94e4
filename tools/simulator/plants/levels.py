"""Plants that are resting levels: a wall, a vacuum, a spoofer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tools.simulator.market import Market, Trade
from tools.simulator.plants.plant import Multiple, Plant, SideName, Ticks, large, outwards, side_named


class Wall(Struct, forbid_unknown_fields=True):
    """A level that holds `times` P95."""

    symbol: str
    side: SideName = "ask"
    distance: Ticks = 20
    times: Multiple = 6.0


class LargeLevel(Plant):
    """A level of `times` P95."""

    def __init__(self, market: Market, given: Wall) -> None:
        self._side = side_named(market, given.side)
        self._price = outwards(market, self._side, given.distance)
        self._quantity = large(market, given.times)
        super().__init__(market, {self._price})
        market.place(self._side, self._price, self._quantity)
        self.shown = {"side": given.side, "price": self._price, "qty": self._quantity}


class PlantedWall(LargeLevel):
    """A large level that no order touches."""

    def remove(self) -> None:
        """Leaves a level of usual quantity."""
        super().remove()
        self.market.place(self._side, self._price, self.market.instrument.level_steps)


class Vacuum(Struct, forbid_unknown_fields=True):
    """`levels` neighbouring levels of the smallest possible quantity, between two usual levels."""

    symbol: str
    side: SideName = "ask"
    distance: Ticks = 10
    levels: Annotated[int, Meta(ge=1, le=1000)] = 10


class PlantedVacuum(Plant):
    """Thin levels on neighbouring prices; the usual level at each end keeps them from getting more."""

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
        """Leaves levels of usual quantity."""
        super().remove()
        for price in self._thin:
            self.market.place(self._side, price, self.market.instrument.level_steps)


class Spoofer(Wall, forbid_unknown_fields=True):
    """A level of `times` P95 that is placed and pulled every half second, and never trades."""

    distance: Ticks = 60


class PlantedSpoofer(LargeLevel):
    """A large level that comes and goes; each state lasts long enough to appear in a diff."""

    _STEPS = 5

    def __init__(self, market: Market, given: Spoofer) -> None:
        super().__init__(market, given)
        self._is_placed = True
        self._since = 0

    def step(self, trades: list[Trade]) -> None:  # noqa: ARG002 - it never trades
        """Places or pulls the level every fifth step."""
        self._since += 1
        if self._since == self._STEPS:
            self._since = 0
            self._toggle()

    def remove(self) -> None:
        """Leaves no level."""
        super().remove()
        if self._is_placed:
            self._toggle()

    def _toggle(self) -> None:
        self._is_placed = not self._is_placed
        self.market.place(self._side, self._price, self._quantity if self._is_placed else 0)
