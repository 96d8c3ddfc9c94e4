"""Coinbase Exchange: a recording of its channels level2, matches and ticker, and the dialect.

Source: https://docs.cdp.coinbase.com/exchange/websocket-feed, pages overview and channels. What is converted: the channel is
served as `level2_batch`, whose messages are the same, but come every 50 ms. Messages are sent as recorded. Products and
their rules are those of the recorded `/products`; trades of the past are those sent so far.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from tools.simulator.captured.dialect import BadRequest, Book, Dialect, Recorded, Request, answer_of, lines

BOOK, CHANNELS = "level2_batch", ("level2_batch", "matches", "ticker", "heartbeat")
_STREAMS = {"snapshot": BOOK, "l2update": BOOK, "match": "matches", "last_match": "matches", "ticker": "ticker"}


class Coinbase(Dialect):
    """A recording of Coinbase's."""

    name, path = "coinbase", "/"

    def __init__(self, stem: str) -> None:
        self.messages = [_recorded(time, text) for time, text in lines(Path(f"{stem}.ws"))]
        self._products = {product["id"]: product for product in answer_of(Path(f"{stem}.http"))}
        self.symbols = {message.stream.partition(":")[2] for message in self.messages}

    def parse(self, text: str) -> Request | bytes:
        """As Dialect.parse()."""
        try:
            message = json.loads(text)
            streams = []
            for channel in message["channels"]:
                named = {"name": channel} if isinstance(channel, str) else channel
                for product in named.get("product_ids", message.get("product_ids", ())):
                    streams.append(f"{named['name']}:{product}")
            return Request({"subscribe": True, "unsubscribe": False}[message["type"]], streams)
        except (ValueError, TypeError, KeyError):
            raise BadRequest('{"type":"error","message":"Malformed JSON"}') from None

    def answers(
        self, request: Request, refused: Mapping[str, str], subscribed: Collection[str]
    ) -> tuple[list[str], list[bytes]]:
        """As Dialect.answers(): all that is subscribed; or an error, and then nothing of the request counts."""
        for stream in request.streams:
            channel, _, product = stream.partition(":")
            reason = refused.get(product) if request.add else None
            if channel not in CHANNELS:
                reason = f"{channel} is not a valid channel"
            elif product not in self.symbols:
                reason = f"{product} is not a valid product"
            if reason is not None:
                failed = f"Failed to {'subscribe' if request.add else 'unsubscribe'}"
                return [], [_encode({"type": "error", "message": failed, "reason": reason})]
        granted = request.streams
        now = [*subscribed, *granted] if request.add else [stream for stream in subscribed if stream not in granted]
        channels: dict[str, list[str]] = {}
        for stream in dict.fromkeys(now):
            channel, _, product = stream.partition(":")
            channels.setdefault("level2_50" if channel == BOOK else channel, []).append(product)
        listed = [{"name": name, "product_ids": named, "account_ids": None} for name, named in channels.items()]
        return granted, [_encode({"type": "subscriptions", "channels": listed})]

    def snapshot(self, symbol: str, book: Book) -> bytes:
        """As Dialect.snapshot()."""
        sides = {"asks": book.best_asks(), "bids": book.best_bids()}
        return _encode({"type": "snapshot", "product_id": symbol, **sides, "time": _rfc3339(book.time)})

    def shared(self, stream: str) -> list[bytes]:  # noqa: ARG002 - all streams are of a product
        """As Dialect.shared()."""
        return []

    def heartbeats(self, streams: Collection[str]) -> list[bytes]:
        """As Dialect.heartbeats(): one for each product."""
        products = [stream.partition(":")[2] for stream in streams if stream.startswith("heartbeat:")]
        named = {"type": "heartbeat", "sequence": 1, "last_trade_id": 1}
        return [_encode(named | {"product_id": product, "time": _rfc3339(0.0)}) for product in products]

    def routes(self, books: Mapping[str, Book]) -> list[web.RouteDef]:  # noqa: ARG002
        """As Dialect.routes(): one product, and its trades."""
        return [web.get("/products/{id}", self._product), web.get("/products/{id}/trades", self._trades)]

    async def _product(self, request: web.Request) -> web.Response:
        product = self._products.get(request.match_info["id"])
        return web.json_response({"message": "NotFound"}, status=404) if product is None else web.json_response(product)

    async def _trades(self, request: web.Request) -> web.Response:
        product, before = request.match_info["id"], int(request.query.get("after", 2**62))
        recorded = [one for one in self.messages if one.stream == f"matches:{product}"]
        trades = {trade["trade_id"]: trade for trade in map(json.loads, (one.payload for one in recorded))}
        newest = [trades[number] for number in sorted(trades, reverse=True) if number < before]
        return web.json_response(newest[: int(request.query.get("limit", 100))])


def _recorded(time: float, text: bytes) -> Recorded:
    message = json.loads(text)
    stream = f"{_STREAMS[message['type']]}:{message['product_id']}"
    if message["type"] == "snapshot":
        return Recorded(time, stream, text, _pairs(message["bids"]), _pairs(message["asks"]), whole=True)
    if message["type"] == "l2update":
        bids, asks = (
            [(price, size) for side, price, size in message["changes"] if side == wanted] for wanted in ("buy", "sell")
        )
        return Recorded(time, stream, text, bids, asks)
    return Recorded(time, stream, text)


def _pairs(levels: list[list[str]]) -> list[tuple[str, str]]:
    return [(price, quantity) for price, quantity in levels]


def _rfc3339(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
