"""The exchange that `more_venues/toy.py` speaks to, in the test's own event loop."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import WSMsgType, web

from tests.ingest.more_venues.toy import checksum

Levels = dict[float, float]


class ToyExchange:
    """Sends what a test tells it to; a new subscription to a book begins with a snapshot.

    Attributes:
        numbered: whether its updates have numbers.
        books: of each symbol: bids, asks and the newest id.
        sockets: the open connections, each with the streams it carries.
        subscribed: streams subscribed to, in order, over all connections.
        refused: streams that it does not know.
        busy: how many of the next requests it refuses for now, without saying which.
        pings: how many came.
        answers: whether it answers them.
        cut_off: queries in the URLs of clients that hear no events any more, over connections that stay open.
    """

    def __init__(self, *symbols: str, numbered: bool = True) -> None:
        self.numbered = numbered
        self.books: dict[str, tuple[Levels, Levels]] = {
            symbol: ({99.0 - n: 1.0 for n in range(6)}, {101.0 + n: 1.0 for n in range(6)}) for symbol in symbols
        }
        self.ids = dict.fromkeys(symbols, 100)
        self.sockets: dict[web.WebSocketResponse, set[str]] = {}
        self.subscribed: list[str] = []
        self.refused: set[str] = set()
        self.busy = 0
        self.pings = 0
        self.answers = True
        self.cut_off: set[str] = set()
        self._queries: dict[web.WebSocketResponse, str] = {}
        self.ws = ""

    def best(self, symbol: str, count: int = 4) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """The levels a side that it tells of, best first."""
        bids, asks = self.books[symbol]
        return sorted(bids.items(), reverse=True)[:count], sorted(asks.items())[:count]

    async def update(
        self,
        symbol: str,
        bids: Levels,
        asks: Levels,
        *,
        wrong: bool = False,
        skip: bool = False,
        unproved: bool = False,
    ) -> None:
        """Change a book and tell it: levels that leave or enter the best four are told as well.

        Args:
            symbol: of the book.
            bids, asks: the levels that change.
            wrong: tell a wrong checksum.
            skip: tell nobody.
            unproved: tell no checksum.
        """
        before = self.best(symbol)
        for side, changes in zip(self.books[symbol], (bids, asks), strict=True):
            for price, quantity in changes.items():
                side[price] = quantity
                if not quantity:
                    del side[price]
        last, self.ids[symbol] = self.ids[symbol], self.ids[symbol] + 1
        told = [
            [*{**changes, **dict(set(now) - set(old))}.items()]
            for changes, now, old in zip((bids, asks), self.best(symbol), before, strict=True)
        ]
        number = {"before": last, "id": self.ids[symbol]} if self.numbered else {"before": 0, "id": 0}
        if not skip:
            await self.tell(
                f"book {symbol}",
                kind="diff",
                bids=told[0],
                asks=told[1],
                sum=None if unproved else checksum(*self.best(symbol)) + wrong,
                **number,
            )

    async def trade(self, symbol: str, trade_id: int, count: int = 1) -> None:
        """Tell a trade that stands for ``count``."""
        await self.tell(f"trades {symbol}", kind="trade", id=trade_id, price="100", quantity="1", buy=True, count=count)

    async def tell(self, stream: str, **event: Any) -> None:
        """Send an event to everybody who has subscribed to its stream."""
        text = json.dumps([self._event(stream, **event)])
        for socket, carried in list(self.sockets.items()):
            if stream in carried and self._queries[socket] not in self.cut_off:
                with suppress(ConnectionError):  # it closes
                    await socket.send_str(text)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        carried = self.sockets[socket] = set()
        self._queries[socket] = request.query_string
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            if message.data == "ping":
                self.pings += 1
                if self.answers:
                    await socket.send_str("pong")
            else:
                add, _, *streams = json.loads(message.data)
                await self._control(socket, carried, streams) if add else carried.difference_update(streams)
        self.sockets.pop(socket, None)
        return socket

    async def _control(self, socket: web.WebSocketResponse, carried: set[str], streams: list[str]) -> None:
        if self.busy:
            self.busy -= 1
            await socket.send_str(json.dumps([{"kind": "refused", "why": "too many", "streams": [], "later": True}]))
            return
        for stream in streams:
            self.subscribed.append(stream)
            kind, _, symbol = stream.partition(" ")
            if stream in self.refused:
                await socket.send_str(json.dumps([{"kind": "refused", "why": "not found", "streams": [stream]}]))
                continue
            carried.add(stream)
            if kind == "book":
                bids, asks = self.best(symbol)
                number = self.ids[symbol] if self.numbered else 0
                told = {"kind": "snapshot", "bids": bids, "asks": asks, "id": number, "sum": checksum(bids, asks)}
                await socket.send_str(json.dumps([self._event(stream, **told)]))
            elif kind == "rules":
                rules = ["0.01", "0.1", "trading", "BTC", "EUR"]
                told = [{"kind": "rules", "symbol": symbol, "rules": rules} for symbol in self.books]
                await socket.send_str(json.dumps(told))

    @staticmethod
    def _event(stream: str, **event: Any) -> dict[str, Any]:
        return {"symbol": stream.partition(" ")[2], "ms": round(time.time() * 1000), **event}


@asynccontextmanager
async def toy_exchange(*symbols: str, numbered: bool = True) -> AsyncIterator[ToyExchange]:
    """A running exchange of these symbols."""
    exchange = ToyExchange(*symbols, numbered=numbered)
    app = web.Application()
    app.router.add_get("/", exchange.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    exchange.ws = f"ws://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield exchange
    finally:
        await runner.cleanup()
