"""Serves a recording over WebSockets, and has the faults.

`POST /simulator/faults/<name>` with a JSON object of parameters:

===========  =================================  =====================================================================
name         parameters                         what happens
===========  =================================  =====================================================================
checksum     ``symbol``, ``count`` (1)          the symbol's next updates have a wrong checksum (Kraken)
skip         ``symbol``, ``count`` (1)          the symbol's next updates are not sent
refuse       ``symbol``, ``error``              its subscriptions are refused with this error; "" accepts them again
status       ``system``                         the trading engine is in this state from now on (Kraken)
connections  ``status`` (429), ``count`` (1),   the next connections are refused with this HTTP status
             ``retry_after`` (1)
send         ``text``, ``symbol`` (all)         this message is sent to all who are subscribed to the symbol's book
drop         ``code`` (none)                    every connection is cut; with a code, closed properly
===========  =================================  =====================================================================

The answer is `{"done": n}`: the number of connections or messages affected. `GET /simulator/state` shows how far the replay
is, and what each connection is subscribed to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from tools.simulator.captured.dialect import BadRequest, Dialect, Request
from tools.simulator.captured.replay import Replay
from tools.simulator.listening import listen


class Checksum(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `checksum`."""

    symbol: str
    count: int = 1


class Skip(Checksum):
    """Parameters of `skip`."""


class Refuse(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `refuse`."""

    symbol: str
    error: str


class Status(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `status`."""

    system: str


class Connections(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `connections`."""

    status: int = 429
    count: int = 1
    retry_after: int = 1


class Send(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `send`."""

    text: str
    symbol: str = ""


class Drop(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `drop`."""

    code: int | None = None


class Connection:
    """One client."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.streams: dict[str, None] = {}
        self.socket = socket
        self._request = request

    async def send(self, message: bytes) -> None:
        """As Subscriber.send()."""
        try:
            await self.socket.send_str(message.decode())
        except ConnectionResetError:
            return  # the client is gone; its handler ends

    def abort(self) -> None:
        """Cut the connection."""
        if self._request.transport is not None:
            self._request.transport.abort()


class CapturedServer:
    """One recording on one port.

    Args:
        dialect: the recording.
        speed: of the replay.

    Attributes:
        replay: the recording, as far as it was sent.
        requests: what clients asked for, in order.
    """

    def __init__(self, dialect: Dialect, speed: float) -> None:
        self.replay = Replay(dialect, speed)
        self.requests: list[Request] = []
        self._dialect = dialect
        self._connections: list[Connection] = []
        self._refused: dict[str, str] = {}
        self._no_connection = Connections(count=0)

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_get(self._dialect.path, self._serve)
        app.add_routes(self._dialect.routes(self.replay.books))
        app.router.add_post("/simulator/faults/{name}", self._fault)
        app.router.add_get("/simulator/state", self._state)
        return app

    async def run(self) -> None:
        """Replay until cancelled."""
        await self.replay.run()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self._no_connection.count > 0:
            self._no_connection.count -= 1
            headers = {"Retry-After": str(self._no_connection.retry_after)}
            return web.Response(status=self._no_connection.status, text="Too Many Requests", headers=headers)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = Connection(socket, request)
        self._connections.append(connection)
        self.replay.subscribers.append(connection)
        try:
            await self.replay.tell(self._dialect.greeting(), [connection])
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._hear(connection, message.data)
        finally:
            self._connections.remove(connection)
            self.replay.subscribers.remove(connection)
        return socket

    async def _hear(self, connection: Connection, text: str) -> None:
        try:
            request = self._dialect.parse(text)
        except BadRequest as error:
            await connection.send(str(error).encode())
            return
        if isinstance(request, bytes):
            await connection.send(request)
            return
        self.requests.append(request)
        granted, answers = self._dialect.answers(request, self._refused, connection.streams)
        await self.replay.tell(answers, [connection])
        for stream in granted:
            if not request.add:
                connection.streams.pop(stream, None)
                continue
            # Nothing may come between a snapshot and the subscription.
            beginning = self.replay.begin(stream)
            connection.streams[stream] = None
            await self.replay.tell(beginning, [connection])

    async def _fault(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in FAULTS:
            return web.json_response({"error": f"fault {name!r}: must be one of {', '.join(FAULTS)}"}, status=400)
        kind, carry_out = FAULTS[name]
        try:
            given = msgspec.json.decode(await request.read() or b"{}", type=kind)
        except msgspec.MsgspecError as error:
            return web.json_response({"error": f"fault {name}: {error}"}, status=400)
        return web.json_response({"done": await carry_out(self, given)})

    async def _state(self, _: web.Request) -> web.Response:
        connections = [list(one.streams) for one in self._connections]
        finished = "finished" if self.replay.finished else "running" if self.replay.sent else "waiting for subscribers"
        return web.json_response({"status": finished, "sent": self.replay.sent, "connections": connections})

    async def checksum(self, given: Checksum) -> int:
        """Let the sums of updates be wrong."""
        self.replay.wrong_checksums[given.symbol] = given.count
        return given.count

    async def skip(self, given: Skip) -> int:
        """Do not send updates."""
        self.replay.skipped[given.symbol] = given.count
        return given.count

    async def refuse(self, given: Refuse) -> int:
        """Refuse subscriptions, or accept them again."""
        self._refused.pop(given.symbol, None)
        if given.error:
            self._refused[given.symbol] = given.error
        return 1

    async def status(self, given: Status) -> int:
        """Change the state of the trading engine."""
        await self.replay.tell(self._dialect.status(given.system), self._connections)
        return len(self._connections)

    async def connections(self, given: Connections) -> int:
        """Refuse the next connections."""
        self._no_connection = given
        return given.count

    async def send(self, given: Send) -> int:
        """Send any message."""
        to = [one for one in self._connections if any(name.endswith(given.symbol) for name in one.streams)]
        await self.replay.tell([given.text.encode()], to)
        return len(to)

    async def drop(self, given: Drop) -> int:
        """End every connection."""
        ended = list(self._connections)
        for connection in ended:
            if given.code is None:
                connection.abort()
            else:
                await connection.socket.close(code=given.code)
        return len(ended)


FAULTS: dict[str, tuple[type[Any], Callable[[CapturedServer, Any], Any]]] = {
    "checksum": (Checksum, CapturedServer.checksum),
    "skip": (Skip, CapturedServer.skip),
    "refuse": (Refuse, CapturedServer.refuse),
    "status": (Status, CapturedServer.status),
    "connections": (Connections, CapturedServer.connections),
    "send": (Send, CapturedServer.send),
    "drop": (Drop, CapturedServer.drop),
}


async def serve(dialect: Dialect, speed: float, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve until `stop` is set.

    Raises:
        CannotListen: the port is taken, or the address cannot be used.
    """
    server = CapturedServer(dialect, speed)
    runner, bound = await listen(server.application(), host, port)
    what = f"replay of {dialect.name}, {len(dialect.symbols)} symbols"
    print(f"simulator: listening on http://{host}:{bound} ({what})", flush=True)
    replay, stopped = asyncio.create_task(server.run()), asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({replay, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if replay in done:
            replay.result()
    finally:
        replay.cancel()
        stopped.cancel()
        await runner.cleanup()
