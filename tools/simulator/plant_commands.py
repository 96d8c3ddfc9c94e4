"""Planting on command: requests to `/simulator/plants`.

===============================  =======================================================  ==========================
request                          JSON object                                              plants
===============================  =======================================================  ==========================
`POST /simulator/plants/wall`    ``symbol``, ``side``, ``distance``, ``times``            :class:`~.plants.Wall`
`POST .../vacuum`                ``symbol``, ``side``, ``distance``, ``levels``           :class:`~.plants.Vacuum`
`POST .../spoofer`               ``symbol``, ``side``, ``distance``, ``times``            :class:`~.plants.Spoofer`
`POST .../iceberg`               ``symbol``, ``side``, ``distance``, ``trades``           :class:`~.plants.Iceberg`
`POST .../crash`                 ``symbol``, ``spread_bps``                               :class:`~.plants.Crash`
`DELETE .../<name>?symbol=...`                                                            removes it again
===============================  =======================================================  ==========================

Only ``symbol`` is needed. The answer is what was planted where, as decimal text: `{"side": "ask", "price":
"67002.10000000", "qty": "9.61340000"}`. `GET /simulator/plants` lists everything planted, by symbol and name. A symbol
has one plant of a name; an iceberg or a crash moves the market and so is planted alone.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from tools.simulator.feed import Feed
from tools.simulator.market import Market
from tools.simulator.plants import PLANTS, BadPlant, Plant
from tools.simulator.protocol import Encoder

_QUANTITIES = ("qty",)
_PRICES = ("price", "from", "to", "best_bid", "best_ask")


class PlantCommands:
    """The plants in one feed's markets."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._planted: dict[str, dict[str, Plant]] = {}

    def routes(self) -> list[web.RouteDef]:
        """What to add to the application's router."""
        return [
            web.post("/simulator/plants/{name}", self._post),
            web.delete("/simulator/plants/{name}", self._delete),
            web.get("/simulator/plants", self._get),
        ]

    def plant(self, name: str, parameters: bytes) -> dict[str, Any]:
        """Plant something; what was put where. Raises :exc:`BadPlant`."""
        kind, make = self._kind(name)
        try:
            given = msgspec.json.decode(parameters or b"{}", type=kind)
        except msgspec.MsgspecError as error:
            raise BadPlant(f"{name}: {error}") from None
        market = self._market(given.symbol)
        there = self._planted.setdefault(given.symbol, {})
        if name in there:
            raise BadPlant(f"{given.symbol} has a {name} already; remove it first")
        alone = [one for one, plant in there.items() if plant.alone] or (list(there) if make.alone else [])
        if alone:
            raise BadPlant(f"{given.symbol} has a {alone[0]}, and there is no {name} beside it; remove it first")
        there[name] = make(market, given)
        return _in_decimals(there[name])

    def remove(self, name: str, symbol: str) -> None:
        """Take a plant away again. Raises :exc:`BadPlant` where there is none."""
        self._kind(name)
        self._market(symbol)
        plant = self._planted.get(symbol, {}).pop(name, None)
        if plant is None:
            raise BadPlant(f"{symbol} has no {name}")
        plant.remove()

    def _kind(self, name: str) -> tuple[type[Any], type[Any]]:
        if name not in PLANTS:
            raise BadPlant(f"plant {name!r}: must be one of {', '.join(PLANTS)}")
        return PLANTS[name]

    def _market(self, symbol: str) -> Market:
        if symbol not in self._feed.symbols:
            raise BadPlant(f"symbol {symbol!r} is not listed here")
        market = self._feed.market(symbol)
        if market is None:
            raise BadPlant("this market is a replay: what was recorded cannot be changed")
        return market

    async def _post(self, request: web.Request) -> web.Response:
        try:
            return web.json_response(self.plant(request.match_info["name"], await request.read()))
        except BadPlant as error:
            return _refusal(error)

    async def _delete(self, request: web.Request) -> web.Response:
        try:
            self.remove(request.match_info["name"], request.query.get("symbol", ""))
        except BadPlant as error:
            return _refusal(error)
        return web.json_response({})

    async def _get(self, _: web.Request) -> web.Response:
        planted = {
            symbol: {name: _in_decimals(plant) for name, plant in plants.items()}
            for symbol, plants in self._planted.items()
            if plants
        }
        return web.json_response(planted)


def _in_decimals(plant: Plant) -> dict[str, Any]:
    encode = Encoder(plant.market.instrument)
    shown: dict[str, Any] = dict(plant.shown)
    shown |= {name: encode.price(shown[name]) for name in _PRICES if name in shown}
    return shown | {name: encode.quantity(shown[name]) for name in _QUANTITIES if name in shown}


def _refusal(error: BadPlant) -> web.Response:
    return web.json_response({"error": str(error)}, status=400)
