"""The REST routes below `/api/v3`, with Binance's weights and errors.

Source: Binance REST API, "Market data endpoints" and "Error codes".
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import msgspec
from aiohttp import web

from tools.simulator import protocol
from tools.simulator.feed import Feed
from tools.simulator.rate_limit import Verdict, WeightLimit

_SYMBOL = re.compile(r"(?:[^\Wa-z]|[-.]){1,50}")
_NUMBER = re.compile(r"[0-9]{1,20}")
_DEFAULT_DEPTH = 100
_DEFAULT_TRADES, _MAX_TRADES, _TRADES_WEIGHT = 500, 1000, 25
# Highest limit -> weight of GET /api/v3/depth.
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (protocol.MAX_DEPTH, 250))


class BadRequest(Exception):
    """A refused request, with Binance's error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Listing:
    """How the listing of `exchangeInfo` differs from the feed's own.

    Attributes:
        statuses, tick_sizes: by symbol, as text.
        unlisted: symbols that REST does not know.
    """

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}
        self.tick_sizes: dict[str, str] = {}
        self.unlisted: set[str] = set()

    def shown(self, symbol: dict[str, Any]) -> dict[str, Any]:
        """One symbol of `exchangeInfo` with its changes."""
        name = symbol["symbol"]
        tick_size = self.tick_sizes.get(name)
        filters = [
            one | {"tickSize": tick_size} if tick_size is not None and one["filterType"] == "PRICE_FILTER" else one
            for one in symbol["filters"]
        ]
        return symbol | {"status": self.statuses.get(name, symbol["status"]), "filters": filters}


class RestApi:
    """Answers the REST requests from a feed and counts their weight.

    Attributes:
        listing: what differs now from the feed's own listing.
    """

    def __init__(self, feed: Feed, weight_limit: WeightLimit) -> None:
        self._feed = feed
        self._weight_limit = weight_limit
        self.listing = Listing()

    def routes(self) -> list[web.RouteDef]:
        """The routes for the application's router."""
        return [
            web.get("/api/v3/ping", self._ping),
            web.get("/api/v3/time", self._time),
            web.get("/api/v3/depth", self._depth),
            web.get("/api/v3/exchangeInfo", self._exchange_info),
            web.get("/api/v3/ticker/24hr", self._ticker),
            web.get("/api/v3/trades", self._trades),
            web.get("/api/v3/historicalTrades", self._trades),
        ]

    async def _ping(self, request: web.Request) -> web.Response:
        return self._spend(request, 1) or _json(b"{}")

    async def _time(self, request: web.Request) -> web.Response:
        return self._spend(request, 1) or _json(b'{"serverTime":%d}' % _now_ms())

    async def _depth(self, request: web.Request) -> web.Response:
        try:
            limit = self._limit(request, _DEFAULT_DEPTH, protocol.MAX_DEPTH)
            symbol = self._symbol(request.query.get("symbol", ""))
        except BadRequest as error:
            return self._spend(request, 1) or _refusal(error)
        weight = next(weight for maximum, weight in _DEPTH_WEIGHTS if limit <= maximum)
        return self._spend(request, weight) or _json(await self._feed.depth(symbol, limit))

    async def _exchange_info(self, request: web.Request) -> web.Response:
        try:
            symbols = self._symbols(request)
        except BadRequest as error:
            return self._spend(request, 1) or _refusal(error)
        if refused := self._spend(request, 20):
            return refused
        listed = self._feed.exchange_info(list(self._feed.symbols) if symbols is None else symbols)
        listed = [self.listing.shown(one) for one in listed if one["symbol"] not in self.listing.unlisted]
        return _json(protocol.exchange_info(_now_ms(), self._weight_limit.limit, listed))

    async def _trades(self, request: web.Request) -> web.Response:
        try:
            limit = self._limit(request, _DEFAULT_TRADES, _MAX_TRADES)
            symbol = self._symbol(request.query.get("symbol", ""))
            from_id = self._number(request, "fromId") if request.path.endswith("historicalTrades") else None
        except BadRequest as error:
            return self._spend(request, 1) or _refusal(error)
        if refused := self._spend(request, _TRADES_WEIGHT):
            return refused
        return _json(msgspec.json.encode(self._feed.trades(symbol, from_id, limit)))

    async def _ticker(self, request: web.Request) -> web.Response:
        try:
            symbols = self._symbols(request)
        except BadRequest as error:
            return self._spend(request, 1) or _refusal(error)
        wanted = list(self._feed.symbols) if symbols is None else symbols
        weight = 80 if symbols is None or len(wanted) > 100 else 40 if len(wanted) > 20 else 2
        if refused := self._spend(request, weight):
            return refused
        tickers = [ticker for symbol in wanted if (ticker := self._feed.ticker_24hr(symbol))]
        single = "symbol" in request.query and tickers
        return _json(msgspec.json.encode(tickers[0] if single else tickers))

    def _spend(self, request: web.Request, weight: int) -> web.Response | None:
        verdict = self._weight_limit.spend(request.remote or "", weight, time.time())
        return None if verdict.status == 200 else _too_much(verdict, self._weight_limit.limit)

    def _symbol(self, symbol: str) -> str:
        if not symbol:
            raise BadRequest(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if not _SYMBOL.fullmatch(symbol):
            raise BadRequest(
                -1100, "Illegal characters found in parameter 'symbol'; legal range is '^[\\w\\-._&&[^a-z]]{1,50}$'."
            )
        if symbol not in self._feed.symbols or symbol in self.listing.unlisted:
            raise BadRequest(-1121, "Invalid symbol.")
        return symbol

    def _symbols(self, request: web.Request) -> list[str] | None:
        """The requested symbols; None if the request names none, which means all."""
        query = request.query
        if "symbol" in query and "symbols" in query:
            raise BadRequest(-1128, "Combination of optional parameters invalid.")
        if "symbol" in query:
            return [self._symbol(query["symbol"])]
        if "symbols" not in query:
            return None
        try:
            names = json.loads(query["symbols"])
        except ValueError:
            names = None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise BadRequest(-1100, "Illegal characters found in parameter 'symbols'; legal range is a JSON array.")
        return [self._symbol(name) for name in dict.fromkeys(names)]

    def _limit(self, request: web.Request, default: int, maximum: int) -> int:
        limit = self._number(request, "limit")
        if limit == 0:
            raise BadRequest(-1130, "Data sent for parameter 'limit' is not valid.")
        return default if limit is None else min(limit, maximum)

    def _number(self, request: web.Request, name: str) -> int | None:
        text = request.query.get(name)
        if text is not None and not _NUMBER.fullmatch(text):
            raise BadRequest(
                -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
            )
        return None if text is None else int(text)


def refusal(status: int, code: int, text: str, retry_after: int | None = None) -> web.Response:
    """An error answer in the exchange's format."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    body = protocol.rest_error(code, text)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _refusal(error: BadRequest) -> web.Response:
    return refusal(400, error.code, str(error))


def _too_much(verdict: Verdict, limit: int) -> web.Response:
    if verdict.status == 418:
        until = _now_ms() + 1000 * verdict.retry_after
        text = (
            f"Way too much request weight used; IP banned until {until}. Please use WebSocket Streams for live updates."
        )
    else:
        text = (
            f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )
    return refusal(verdict.status, -1003, text, verdict.retry_after)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
