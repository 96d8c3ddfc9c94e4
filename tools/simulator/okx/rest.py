"""OKX's REST routes: instruments, trades of the past, time.

Source: https://www.okx.com/docs-v5/en/, "Get instruments", "Get trades history", "REST API" error codes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping

from aiohttp import web

from tools.simulator.okx import PREFIX, wire
from tools.simulator.okx.source import Source
from tools.simulator.rest import Listing

MAX_TRADES = 100
REQUESTS, SPAN_S = 20, 2.0
"""So many requests of one path in so many seconds from one address."""

NO_SUCH_INSTRUMENT, WRONG_PARAMETER, TOO_MANY_REQUESTS = "51001", "51000", "50011"


class RestApi:
    """Answers requests about the instruments.

    Args:
        sources: the instruments, by name.
        listing: what differs from their own rules now.
    """

    def __init__(self, sources: Mapping[str, Source], listing: Listing) -> None:
        self._sources = sources
        self._listing = listing
        self._asked: dict[tuple[str, str], deque[float]] = {}

    def routes(self) -> list[web.RouteDef]:
        """The routes for the application's router."""
        return [
            web.get("/api/v5/public/time", self._time),
            web.get("/api/v5/public/instruments", self._instruments),
            web.get("/api/v5/market/history-trades", self._trades),
        ]

    async def _time(self, request: web.Request) -> web.Response:
        return self._too_many(request) or _answer(wire.rest([{"ts": str(time.time_ns() // 1_000_000)}]))

    async def _instruments(self, request: web.Request) -> web.Response:
        if refused := self._too_many(request):
            return refused
        kind, name = request.query.get("instType", ""), request.query.get("instId")
        if not kind:
            return _answer(wire.rest([], "50014", "Parameter instType can not be empty"), 400)
        shown = [rules for each in self._sources if (rules := self._rules(each)) and rules["instType"] == kind]
        if name is not None:
            shown = [rules for rules in shown if rules["instId"] == name]
            if not shown:
                return _answer(wire.rest([], NO_SUCH_INSTRUMENT, "Instrument ID doesn't exist."))
        return _answer(wire.rest(shown))

    async def _trades(self, request: web.Request) -> web.Response:
        if refused := self._too_many(request):
            return refused
        query = request.query
        source = self._sources.get(query.get("instId", ""))
        after, limit = query.get("after", ""), query.get("limit", str(MAX_TRADES))
        if source is None:
            return _answer(wire.rest([], NO_SUCH_INSTRUMENT, "Instrument ID doesn't exist."))
        if not limit.isdecimal() or not (after.isdecimal() or not after):
            return _answer(wire.rest([], WRONG_PARAMETER, "Parameter limit or after error"), 400)
        before_id = int(after) if after else None
        return _answer(wire.rest(source.past_trades(before_id, min(int(limit), MAX_TRADES))))

    def _rules(self, name: str) -> dict[str, object] | None:
        """An instrument's rules with their changes; None if it is not listed now."""
        own = PREFIX + name
        if own in self._listing.unlisted:
            return None
        rules = self._sources[name].rules()
        if own in self._listing.statuses:
            rules["state"] = self._listing.statuses[own]
        if own in self._listing.tick_sizes:
            rules["tickSz"] = self._listing.tick_sizes[own]
        return rules

    def _too_many(self, request: web.Request) -> web.Response | None:
        now, times = time.monotonic(), self._asked.setdefault((request.remote or "", request.path), deque())
        while times and times[0] <= now - SPAN_S:
            times.popleft()
        if len(times) >= REQUESTS:
            text = "Rate limit reached. Please refer to API documentation and throttle requests accordingly."
            return _answer(wire.rest([], TOO_MANY_REQUESTS, text), 429)
        times.append(now)
        return None


def _answer(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
