"""Requests for plants: `/simulator/plants`.

===============================  =======================================================  ==========================
request                          JSON object                                              plants
===============================  =======================================================  ==========================
`POST /simulator/plants/wall`    ``symbol``, ``side``, ``distance``, ``times``            plants.Wall
`POST .../vacuum`                ``symbol``, ``side``, ``distance``, ``levels``           plants.Vacuum
`POST .../spoofer`               ``symbol``, ``side``, ``distance``, ``times``            plants.Spoofer
`POST .../iceberg`               ``symbol``, ``side``, ``distance``, ``trades``           plants.Iceberg
`POST .../crash`                 ``symbol``, ``spread_bps``                               plants.Crash
`DELETE .../<name>?symbol=...`                                                            removes it
===============================  =======================================================  ==========================

Only ``symbol`` is required. The answer tells what was planted and where, as decimal text: `{"side": "ask", "price":
"67002.10000000", "qty": "9.61340000"}`. `GET /simulator/plants` lists all plants by symbol and name. A symbol has at most
one plant of each name. An iceberg or a crash moves the market, so it is planted alone.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from tools.simulator.feed import Feed
from tools.simulator.market import Market
from tools.simulator.plants import PLANTS
from tools.simulator.plants.plant import BadPlant, Plant
from tools.simulator.protocol import Encoder

_QUANTITIES = ("qty",)
_PRICES = ("price", "from", "to", "best_bid", "best_ask")


class PlantCommands:
    """The plants in one feed's markets."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._planted: dict[str, dict[str, Plant]] = {}

    def routes(self) -> list[web.RouteDef]:
        """The routes for the application's router."""
        return [
            web.post("/simulator/plants/{name}", self._post),
            web.delete("/simulator/plants/{name}", self._delete),
            web.get("/simulator/plants", self._get),
        ]

    def plant(self, name: str, parameters: bytes) -> dict[str, Any]:
        """Plants something and returns what was planted where.

        Args:
            name: one of PLANTS.
            parameters: its parameters as a JSON object.

        Raises:
            BadPlant: the name, a parameter or the symbol is not accepted, or the market has no room for it.
        """
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
            raise BadPlant(f"{given.symbol} has a {alone[0]}, which allows no {name} beside it; remove it first")
        there[name] = make(market, given)
        return _in_decimals(there[name])

    def remove(self, name: str, symbol: str) -> None:
        """Removes a plant.

        Raises:
            BadPlant: there is no such plant.
        """
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
            raise BadPlant("this market is a replay, and a recording cannot be changed")
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
