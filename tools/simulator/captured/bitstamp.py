"""Bitstamp: a recording of its channels diff_order_book and live_trades, and the dialect.

Source: https://www.bitstamp.net/websocket/v2/ and https://www.bitstamp.net/api/. Books come by REST: a client takes changes
from the stream, asks for the book, and drops the changes up to its `microtimestamp`. What the conversion does:

- `microtimestamp` and `timestamp` are the time of sending, because a client goes by the newest trades; they only rise.
- Messages come in the order of their recorded times, and the recorded books with them. A request for a book waits until its
  recorded time has come, and then gets the book as of the last message sent, with that message's time.
- `/markets/` is made of the recorded `/trading-pairs-info/`, which it has replaced.
- `/ticker/` was not recorded. It is made of the trades sent so far; without any there is none.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from tools.simulator.capture import BadCapture
from tools.simulator.captured.dialect import BadRequest, Book, Dialect, Levels, Recorded, Request, lines

BOOK, TRADES = "diff_order_book", "live_trades"


class Bitstamp(Dialect):
    """A recording of Bitstamp's."""

    name, path = "bitstamp", "/"

    def __init__(self, stem: str) -> None:
        answers = _answers(Path(f"{stem}.http"))
        books = [_recorded_book(url, body) for url, body in answers.items() if "/order_book/" in url]
        messages = [_recorded(body) for _, text in lines(Path(f"{stem}.ws")) if _is_data(body := json.loads(text))]
        self.messages = sorted([*books, *messages], key=lambda message: message.time)
        self.symbols = {message.stream.partition(":")[2] for message in books}
        self._pairs = next(body for url, body in answers.items() if "trading-pairs-info" in url)
        self._known = {symbol: asyncio.Event() for symbol in self.symbols}
        self._sent_us: dict[str, int] = {}
        self._trades: dict[str, list[dict[str, Any]]] = {}
        self._now_us = 0

    def parse(self, text: str) -> Request | bytes:
        """As Dialect.parse()."""
        try:
            message = json.loads(text)
            if message["event"] == "bts:heartbeat":
                return b'{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}'
            channel, _, symbol = message["data"]["channel"].rpartition("_")
            return Request({"bts:subscribe": True, "bts:unsubscribe": False}[message["event"]], [f"{channel}:{symbol}"])
        except (ValueError, TypeError, KeyError):
            raise BadRequest(_error("Incorrect JSON format.").decode()) from None

    def answers(
        self,
        request: Request,
        refused: Mapping[str, str],
        subscribed: Collection[str],  # noqa: ARG002 - an answer is of its request alone
    ) -> tuple[list[str], list[bytes]]:
        """As Dialect.answers()."""
        [stream] = request.streams
        channel, _, symbol = stream.partition(":")
        if channel not in (BOOK, TRADES) or symbol not in self.symbols:
            return [], [_error("Incorrect channel name.")]
        if request.add and symbol in refused:
            return [], [_error(refused[symbol])]
        done = "subscription" if request.add else "unsubscription"
        return [stream], [_encode({"event": f"bts:{done}_succeeded", "channel": f"{channel}_{symbol}", "data": {}})]

    def snapshot(self, symbol: str, book: Book) -> bytes:  # noqa: ARG002 - it comes by REST
        """As Dialect.snapshot()."""
        return b""

    def shared(self, stream: str) -> list[bytes]:  # noqa: ARG002 - all streams are of a symbol
        """As Dialect.shared()."""
        return []

    def heartbeats(self, streams: Collection[str]) -> list[bytes]:  # noqa: ARG002 - only if a client asks
        """As Dialect.heartbeats()."""
        return []

    def at_sending(self, message: Recorded) -> bytes:
        """As Dialect.at_sending(): with the time."""
        channel, _, symbol = message.stream.partition(":")
        if message.whole:
            self._known[symbol].set()
            return b""
        self._now_us = max(self._now_us + 1, time.time_ns() // 1_000)
        body = json.loads(message.payload)
        times = {"timestamp": str(self._now_us // 1_000_000), "microtimestamp": str(self._now_us)}
        body["data"] |= times
        if channel == BOOK:
            self._sent_us[symbol] = self._now_us
        else:
            self._trades.setdefault(symbol, []).append(body["data"])
        return _encode(body)

    def routes(self, books: Mapping[str, Book]) -> list[web.RouteDef]:
        """As Dialect.routes()."""

        async def book(request: web.Request) -> web.Response:
            symbol = request.match_info["pair"]
            if symbol not in self.symbols:
                return _not_found()
            await self._known[symbol].wait()
            sent, time_us = books[f"{BOOK}:{symbol}"], self._sent_us.get(symbol, self._now_us)
            sides = {"bids": sent.best_bids(), "asks": sent.best_asks()}
            return web.json_response({"timestamp": str(time_us // 1_000_000), "microtimestamp": str(time_us)} | sides)

        return [
            web.get("/api/v2/order_book/{pair}/", book),
            web.get("/api/v2/markets/", self._markets),
            web.get("/api/v2/ticker/{pair}/", self._ticker),
        ]

    async def _markets(self, _: web.Request) -> web.Response:
        return web.json_response([_market(pair) for pair in self._pairs])

    async def _ticker(self, request: web.Request) -> web.Response:
        trades = self._trades.get(request.match_info["pair"])
        if not trades:
            return _not_found()
        prices = [trade["price"] for trade in trades]
        first, last = prices[0], prices[-1]
        values = {"last": last, "high": max(prices), "low": min(prices), "open": first, "open_24": first}
        values |= {
            "volume": sum(trade["amount"] for trade in trades),
            "percent_change_24": round((last - first) / first * 100, 2),
        }
        return web.json_response(
            {name: str(value) for name, value in values.items()} | {"timestamp": trades[-1]["timestamp"]}
        )


def _answers(path: Path) -> dict[str, Any]:
    """The recorded answers of REST, by URL."""
    found = {}
    try:
        for line in path.read_text().splitlines():
            url, answer = line.split(" -> ", 1)
            found[url] = json.loads(answer.split(": ", 1)[1])
    except (OSError, IndexError, ValueError) as error:
        raise BadCapture(f"{path}: cannot be read: {error}") from None
    return found


def _is_data(body: dict[str, Any]) -> bool:
    return body["event"] in ("data", "trade")


def _recorded(body: dict[str, Any]) -> Recorded:
    channel, _, symbol = body["channel"].rpartition("_")
    data = body["data"]
    stream, at, payload = f"{channel}:{symbol}", int(data["microtimestamp"]) / 1e6, _encode(body)
    if channel != BOOK:
        return Recorded(at, stream, payload)
    return Recorded(at, stream, payload, _levels(data["bids"]), _levels(data["asks"]))


def _recorded_book(url: str, body: dict[str, Any]) -> Recorded:
    stream = f"{BOOK}:{url.rstrip('/').rpartition('/')[2]}"
    return Recorded(
        int(body["microtimestamp"]) / 1e6, stream, b"", _levels(body["bids"]), _levels(body["asks"]), whole=True
    )


def _levels(levels: list[list[str]]) -> Levels:
    return [(price, quantity) for price, quantity, *_ in levels]


def _market(pair: dict[str, Any]) -> dict[str, Any]:
    base, counter = pair["name"].split("/")
    kept = ("name", "base_decimals", "counter_decimals", "trading", "instant_and_market_orders", "description")
    return {name: pair[name] for name in kept} | {
        "market_symbol": pair["url_symbol"],
        "base_currency": base,
        "counter_currency": counter,
        "minimum_order_value": pair["minimum_order"].split()[0],
        "instant_order_counter_decimals": pair["counter_decimals"],
        "market_type": "SPOT",
    }


def _not_found() -> web.Response:
    return web.json_response({"status": "error", "reason": "Not found.", "code": "404.002"}, status=404)


def _error(text: str) -> bytes:
    return _encode({"event": "bts:error", "channel": "", "data": {"code": None, "message": text}})


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
