"""A spoofer: a large order far from the market that is pulled again and again."""

from __future__ import annotations

from msgspec import Struct

from tools.simulator.market import Market, Trade
from tools.simulator.plants.plant import Multiple, Plant, SideName, Ticks, large, outwards, side_named


class Spoofer(Struct, forbid_unknown_fields=True):
    """A level of ``times`` P95 that is placed and pulled again every half second, and never trades."""

    symbol: str
    side: SideName = "ask"
    distance: Ticks = 60
    times: Multiple = 6.0


class PlantedSpoofer(Plant):
    """A large level that comes and goes, each time for long enough to be seen in a diff."""

    _STEPS = 5

    def __init__(self, market: Market, given: Spoofer) -> None:
        self._side = side_named(market, given.side)
        self._price = outwards(market, self._side, given.distance)
        self._quantity = large(market, given.times)
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
