"""An exchange whose every answer a test scripts, in the test's own event loop."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

Answer = Callable[[web.Request], web.StreamResponse | None]


class ScriptedExchange:
    """Answers what ``answer`` returns, and otherwise 404; takes WebSocket connections unless ``answer`` refuses.

    It accepts every control message, unless one names a stream of ``refused``.

    Attributes:
        answer: called with each request; ``None`` leaves it to the default.
        requests: (monotonic time, path with query) of each, in order.
        sockets: the open WebSocket connections.
        pongs: payloads received.
        controls: control messages received, in order.
        refused: streams of which no subscription is accepted.
        carried: streams subscribed to by message, or named in the URL of the newest connection.
    """

    def __init__(self) -> None:
        self.answer: Answer = lambda _: None
        self.requests: list[tuple[float, str]] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.pongs: list[bytes] = []
        self.controls: list[dict[str, Any]] = []
        self.refused: set[str] = set()
        self.carried: set[str] = set()
        self.http = self.ws = ""

    def asked(self, path: str) -> list[float]:
        """When ``path`` was requested."""
        return [at for at, asked in self.requests if asked.startswith(path)]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((time.monotonic(), request.path_qs))
        answer = self.answer(request)
        if answer is not None:
            return answer
        if request.path != "/stream":
            return web.Response(status=404)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.sockets.append(socket)
        self.carried = set(filter(None, request.query.get("streams", "").split("/")))
        async for message in socket:
            if message.type is WSMsgType.PONG:
                self.pongs.append(bytes(message.data))
            elif message.type is WSMsgType.TEXT:
                await socket.send_json(self.control(json.loads(message.data)))
        self.sockets.remove(socket)
        return socket

    def control(self, request: dict[str, Any]) -> dict[str, Any]:
        self.controls.append(request)
        streams = set(request["params"])
        if streams & self.refused:
            return {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": request["id"]}
        self.carried = self.carried | streams if request["method"] == "SUBSCRIBE" else self.carried - streams
        return {"result": None, "id": request["id"]}


@asynccontextmanager
async def scripted_exchange() -> AsyncIterator[ScriptedExchange]:
    exchange = ScriptedExchange()
    app = web.Application()
    app.router.add_route("GET", "/{path:.*}", exchange.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    _, port = runner.addresses[0][:2]
    exchange.http, exchange.ws = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
    try:
        yield exchange
    finally:
        await runner.cleanup()
