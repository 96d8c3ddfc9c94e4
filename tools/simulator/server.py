"""The simulated exchange as one aiohttp application: WebSocket streams and REST on one port."""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import dataclass, field

from aiohttp import web

from tools.simulator import kraken
from tools.simulator.binance_connection import BinanceConnection
from tools.simulator.captured.server import CapturedServer
from tools.simulator.connection import Connection, Limits
from tools.simulator.faults import Faults
from tools.simulator.feed import Feed
from tools.simulator.hub import Hub
from tools.simulator.listening import listen
from tools.simulator.okx.endpoints import Endpoints
from tools.simulator.plant_commands import PlantCommands
from tools.simulator.rate_limit import WeightLimit
from tools.simulator.rest import RestApi

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where to listen, and the limits of clients."""

    host: str = "127.0.0.1"
    port: int = 9443
    weight_per_minute: int = 600_000
    limits: Limits = field(default_factory=Limits)


class Server:
    """Serves one feed until it is stopped.

    Args:
        feed: of Binance's and OKX's symbols.
        hub: of its channels.
        options: see there.
        of_kraken: serves Kraken's symbols, if there are any.
    """

    def __init__(self, feed: Feed, hub: Hub, options: ServerOptions, of_kraken: CapturedServer | None = None) -> None:
        self._feed = feed
        self._of_kraken = of_kraken
        self._hub = hub
        self._options = options
        self._runner: web.AppRunner | None = None

    def application(self) -> web.Application:
        """The routes of the exchange."""
        rest = RestApi(self._feed, WeightLimit(self._options.weight_per_minute))
        of_okx = Endpoints(self._feed.okx, self._hub, self._options.limits, rest.listing)
        faults = Faults(self._feed, self._hub, rest.listing, of_okx.refusals)
        app = web.Application(middlewares=[faults.middleware])
        app.add_routes(faults.routes())
        app.add_routes(PlantCommands(self._feed).routes())
        app.add_routes(rest.routes())
        app.add_routes(of_okx.routes())
        if self._of_kraken is not None:
            app.add_subapp(kraken.PATH, self._of_kraken.application())
        app.router.add_get("/stream", self._combined)
        app.router.add_get("/ws", self._raw)
        app.router.add_get("/ws/{streams:.*}", self._raw)
        return app

    async def start(self) -> int:
        """Starts to listen and returns the port.

        Raises:
            CannotListen: the port is taken, or the address cannot be used.
        """
        self._runner, port = await listen(self.application(), self._options.host, self._options.port)
        return port

    async def serve(self, stop: asyncio.Event) -> None:
        """Runs the feed until `stop` is set or the feed ends, then closes every connection."""
        # The markets live as long as the process, so the garbage collector need not check them.
        gc.collect()
        gc.freeze()
        feeds = [self._feed.run(), *([self._of_kraken.run()] if self._of_kraken else [])]
        tasks = [asyncio.create_task(feed) for feed in feeds]
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            for task in (*tasks, stopped):
                task.cancel()
            await self._close_connections()
            assert self._runner is not None
            await self._runner.cleanup()

    async def _close_connections(self) -> None:
        connections = [one for one in self._hub.connections if isinstance(one, Connection)]
        closing = [asyncio.create_task(one.close(reason="server stops")) for one in connections]
        if closing:
            await asyncio.wait(closing, timeout=1.0)
        for connection in connections:
            connection.abort()

    async def _combined(self, request: web.Request) -> web.WebSocketResponse:
        streams = [name for name in request.query.get("streams", "").split("/") if name]
        return await BinanceConnection(self._hub, self._options.limits, combined=True).serve(request, streams)

    async def _raw(self, request: web.Request) -> web.WebSocketResponse:
        streams = [name for name in request.match_info.get("streams", "").split("/") if name]
        return await BinanceConnection(self._hub, self._options.limits, combined=False).serve(request, streams)
