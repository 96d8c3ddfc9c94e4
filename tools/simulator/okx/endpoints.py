"""The routes of the dialect: the public WebSocket and REST."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping

from aiohttp import web

from tools.simulator.connection import Limits
from tools.simulator.hub import Hub
from tools.simulator.okx.connection import OkxConnection
from tools.simulator.okx.rest import RestApi
from tools.simulator.okx.source import Source
from tools.simulator.rest import Listing

CONNECTIONS_PER_SECOND = 3


class Endpoints:
    """All routes of some instruments.

    Attributes:
        refusals: instrument -> the error code of its subscriptions, for those that are refused; empty at first.
    """

    def __init__(self, sources: Mapping[str, Source], hub: Hub, limits: Limits, listing: Listing) -> None:
        self._sources = sources
        self._hub = hub
        self._limits = limits
        self._rest = RestApi(sources, listing)
        self._opened: dict[str, deque[float]] = {}
        self.refusals: dict[str, str] = {}

    def routes(self) -> list[web.RouteDef]:
        """The routes for the application's router."""
        return [web.get("/ws/v5/public", self._public), *self._rest.routes()]

    async def _public(self, request: web.Request) -> web.StreamResponse:
        now, times = time.monotonic(), self._opened.setdefault(request.remote or "", deque())
        while times and times[0] <= now - 1.0:
            times.popleft()
        if len(times) >= CONNECTIONS_PER_SECOND:
            return web.Response(status=429, text="Too Many Requests")
        times.append(now)
        return await OkxConnection(self._hub, self._limits, self._sources, self.refusals).serve(request)
