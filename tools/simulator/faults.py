"""Faults on demand: `POST /simulator/faults/<name>` with a JSON object of parameters calls one method each.

===========  =================================================  =====================================================
name         parameters                                         what happens
===========  =================================================  =====================================================
drop         ``code`` (none), ``venue`` (all)                   every connection is cut; with a code, closed properly
skip         ``symbol``, ``count`` (1)                          the symbol's next diffs are not sent: a gap
rubbish      ``kind``, ``symbol``, ``connection`` (all)         a malformed message is sent on the symbol's stream
pause        ``seconds``                                        nothing is sent for that time; nothing is lost
shutdown     ``seconds`` (1), ``venue`` (all)                   announced now, every connection closed later
rest         ``status``, ``count`` (1), ``retry_after`` (none)  the next REST requests get this status
rest_delay   ``seconds``, ``count`` (1)                         the next REST requests are delayed
listing      ``symbol``, ``status`` (none), ``tick_size``       exchangeInfo shows this from now on; a symbol that is
             (none), ``listed`` (true)                          not listed is unknown to REST
===========  =================================================  =====================================================

A symbol of OKX is named `okx:BTC-USDT`; okx/faults.py has the faults of that dialect alone.

The answer is `{"done": n}`: the number of connections, messages or requests that are affected. rubbish.py and
okx/rubbish.py have the kinds of malformed messages. `GET /simulator/state` shows the state of the feed and of the connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from tools.simulator.connection import Connection
from tools.simulator.feed import Feed
from tools.simulator.hub import Channel, Hub
from tools.simulator.okx import faults as okx
from tools.simulator.okx import rubbish as okx_rubbish
from tools.simulator.okx import wire
from tools.simulator.okx.faults import OkxFaults
from tools.simulator.rest import Listing, refusal
from tools.simulator.rubbish import RUBBISH, Scene

# Binance's error codes.
_UNKNOWN = -1000
_TOO_MANY_REQUESTS = -1003


class BadFault(ValueError):
    """A fault that does not exist, or parameters that are not accepted."""


class Drop(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `drop`."""

    code: int | None = None
    venue: str | None = None


class Skip(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `skip`."""

    symbol: str
    count: int = 1


class Rubbish(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `rubbish`; `connection` is the place of an open connection, oldest first, from 0."""

    kind: str
    symbol: str
    connection: int | None = None


class Pause(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `pause`."""

    seconds: float


class Shutdown(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `shutdown`."""

    seconds: float = 1.0
    venue: str | None = None


class Rest(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `rest`."""

    status: int
    count: int = 1
    retry_after: int | None = None


class RestDelay(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `rest_delay`."""

    seconds: float
    count: int = 1


class ListingChange(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `listing`."""

    symbol: str
    status: str | None = None
    tick_size: str | None = None
    listed: bool = True


class Faults:
    """The faults of one server."""

    def __init__(self, feed: Feed, hub: Hub, listing: Listing, refusals: dict[str, str]) -> None:
        self._feed = feed
        self._okx = OkxFaults(feed.okx, hub, refusals)
        self._hub = hub
        self._listing = listing
        self._rest = Rest(status=500, count=0)
        self._rest_delay = RestDelay(seconds=0.0, count=0)
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """The routes for the application's router."""
        return [web.post("/simulator/faults/{name}", self._handle), web.get("/simulator/state", self._state)]

    def apply(self, name: str, parameters: bytes) -> int:
        """Carries out a fault and returns the number of connections, messages or requests that it affects.

        Args:
            name: one of FAULTS.
            parameters: its parameters as a JSON object.

        Raises:
            BadFault: the name or a parameter is not accepted.
        """
        if name in okx.FAULTS:
            of_okx, carry_out_there = okx.FAULTS[name]
            given = _decoded(name, parameters, of_okx)
            self._check_okx(getattr(given, "symbol", None))
            return carry_out_there(self._okx, given)
        if name not in FAULTS:
            raise BadFault(f"fault {name!r}: must be one of {', '.join((*FAULTS, *okx.FAULTS))}")
        kind, carry_out = FAULTS[name]
        return carry_out(self, _decoded(name, parameters, kind))

    @web.middleware
    async def middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Delays and refuses REST requests while such a fault is active."""
        if request.path.startswith("/api/"):
            if self._rest_delay.count > 0:
                self._rest_delay.count -= 1
                await asyncio.sleep(self._rest_delay.seconds)
            if self._rest.count > 0:
                self._rest.count -= 1
                if request.path.startswith("/api/v5/"):
                    return web.Response(status=self._rest.status, body=wire.rest([], "50011", "A fault was asked for."))
                code = _TOO_MANY_REQUESTS if self._rest.status in (418, 429) else _UNKNOWN
                return refusal(self._rest.status, code, "A fault was asked for.", self._rest.retry_after)
        response: web.StreamResponse = await handler(request)
        return response

    def drop(self, given: Drop) -> int:
        """Cuts every connection, or closes it with a code."""
        connections = self._connections(given.venue)
        for connection in connections:
            if given.code is None:
                connection.abort()
            else:
                self._spawn(connection.close(given.code, "a fault was asked for"))
        return len(connections)

    def skip(self, given: Skip) -> int:
        """Skips the symbol's next diffs on each of its diff streams."""
        channels = [channel for channel in self._diff_channels(given.symbol) if channel.subscribers]
        for channel in channels:
            channel.filter = _SkipNext(channel, given.count)
        return len(channels)

    def rubbish(self, given: Rubbish) -> int:
        """Sends a malformed message on the symbol's stream."""
        of_okx = self._okx.knows(given.symbol)
        kinds = okx_rubbish.RUBBISH if of_okx else RUBBISH
        if given.kind not in kinds:
            raise BadFault(f"kind {given.kind!r}: must be one of {', '.join(kinds)}")
        self._check_symbol(given.symbol)
        kind = RUBBISH[given.kind] if not of_okx else None
        channel = self._diff_channels(given.symbol)[0]
        if kind is not None and kind.stream:
            channel = self._hub.channel(given.symbol.lower() + kind.stream)
        to = list(channel.subscribers)
        if given.connection is not None:
            to = [one for one in self._hub.connections[given.connection :][:1] if one in to]
        if not to:
            return 0
        if kind is None:
            channel.send(self._okx.rubbish(given.kind, given.symbol), to, wrapped=False)
        else:
            message = kind.make(Scene(given.symbol, *self._feed.quote(given.symbol)))
            if kind.connects:
                self._feed.spend_update_id(given.symbol)
            channel.send(message, to, wrapped=bool(kind.stream))
        self._hub.flush()
        return len(to)

    def pause(self, given: Pause) -> int:
        """Stops the feed for some seconds."""
        self._feed.pause(given.seconds)
        return len(self._hub.connections)

    def shutdown(self, given: Shutdown) -> int:
        """Announces the end of every connection and closes it."""
        connections = self._connections(given.venue)
        for connection in connections:
            self._spawn(connection.announce_shutdown(given.seconds))
        return len(connections)

    def rest(self, given: Rest) -> int:
        """Refuses the next REST requests."""
        if not 400 <= given.status <= 599:
            raise BadFault(f"status {given.status}: must be 400 to 599")
        self._rest = given
        return given.count

    def rest_delay(self, given: RestDelay) -> int:
        """Delays the next REST requests."""
        self._rest_delay = given
        return given.count

    def listing(self, given: ListingChange) -> int:
        """Changes what exchangeInfo shows of a symbol."""
        self._check_symbol(given.symbol)
        if given.status is not None:
            self._listing.statuses[given.symbol] = given.status
        if given.tick_size is not None:
            self._listing.tick_sizes[given.symbol] = given.tick_size
        (self._listing.unlisted.discard if given.listed else self._listing.unlisted.add)(given.symbol)
        return 1

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            done = self.apply(request.match_info["name"], await request.read())
        except BadFault as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"done": done})

    async def _state(self, _: web.Request) -> web.Response:
        connections = [
            {"venue": one.venue, "streams": list(one.streams), "unread": one.unread_bytes}
            for one in self._connections()
        ]
        return web.json_response({"feed": self._feed.state(), "connections": connections})

    def _connections(self, venue: str | None = None) -> list[Connection]:
        open_now = [one for one in self._hub.connections if isinstance(one, Connection)]
        return [one for one in open_now if venue in (None, one.venue)]

    def _diff_channels(self, symbol: str) -> list[Channel]:
        self._check_symbol(symbol)
        if self._okx.knows(symbol):
            return [self._okx.books(symbol)]
        return [self._hub.channel(symbol.lower() + suffix) for suffix in ("@depth@100ms", "@depth")]

    def _check_symbol(self, symbol: str) -> None:
        if symbol not in self._feed.symbols and not self._okx.knows(symbol):
            raise BadFault(f"symbol {symbol!r} is not listed here")

    def _check_okx(self, symbol: str | None) -> None:
        if symbol is not None and not self._okx.knows(symbol):
            raise BadFault(f"symbol {symbol!r} is not listed here; it must be one of OKX, like okx:BTC-USDT")

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _decoded(name: str, parameters: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(parameters or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise BadFault(f"fault {name}: {error}") from None


class _SkipNext:
    """A channel filter that drops `count` events and then removes itself."""

    def __init__(self, channel: Channel, count: int) -> None:
        self._channel = channel
        self._left = count

    def __call__(self, _: bytes) -> bytes | None:
        self._left -= 1
        if self._left <= 0:
            self._channel.filter = None
        return None


FAULTS: dict[str, tuple[type[Any], Callable[[Faults, Any], int]]] = {
    "drop": (Drop, Faults.drop),
    "skip": (Skip, Faults.skip),
    "rubbish": (Rubbish, Faults.rubbish),
    "pause": (Pause, Faults.pause),
    "shutdown": (Shutdown, Faults.shutdown),
    "rest": (Rest, Faults.rest),
    "rest_delay": (RestDelay, Faults.rest_delay),
    "listing": (ListingChange, Faults.listing),
}
