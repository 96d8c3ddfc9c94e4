"""Kraken: a recording of its WebSocket v1, converted to v2, and the dialect of v2.

Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2 and /spot-websocket-v1, and the guides "Book
checksum" of both. What the conversion does:

- Numbers keep their text, and become JSON numbers. (v1 writes more zeros than v2 would. Each sums over its own text, so the
  recorded sums hold.)
- XBT is BTC and XDG is DOGE in v2.
- An update has the newest of its levels' times, and the recorded sum.
- v1's snapshots have no sum: it is made here, by the documented rule. The updates' are the exchange's.
- v1's trades have no number: they are numbered from 1, pair by pair.
- The ticker's change is made of the last price and the price 24 hours before.
- The pairs' rules are made of the recorded `AssetPairs`; every pair is `online`.
- Answers to subscriptions are left out: the server makes its own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from tools.simulator.captured import kraken_wire as wire
from tools.simulator.captured.dialect import BadRequest, Book, Dialect, Levels, Recorded, Request, answer_of, lines

DEPTH = 1000
RENAMED = {"XBT": "BTC", "XDG": "DOGE"}
_ANSWERED = "2026-01-01T00:00:00.000000Z"


class KrakenDialect(Dialect):
    """The dialect of v2, whatever is served in it.

    Attributes:
        decimals: of the prices and of the quantities of each pair that is listed.
    """

    name, path, depth = "kraken", "/v2", DEPTH

    def __init__(self, messages: Iterable[Recorded], symbols: Collection[str], decimals: Mapping[str, tuple[int, int]]):
        self.messages, self.symbols, self.decimals = messages, symbols, decimals
        self._system = "online"

    def parse(self, text: str) -> Request | bytes:
        """As Dialect.parse()."""
        try:
            message = json.loads(text)
            method, request_id = message["method"], message.get("req_id")
            if method == "ping":
                return wire.encode(
                    {"method": "pong", "req_id": request_id, "time_in": _ANSWERED, "time_out": _ANSWERED}
                )
            params = message["params"]
            streams = [f"{params['channel']}:{symbol}" for symbol in params.get("symbol", ())]
        except (ValueError, TypeError, KeyError):
            raise BadRequest('{"error":"Malformed request","success":false}') from None
        if params["channel"] == "book" and params.get("depth") != DEPTH:
            raise BadRequest('{"error":"Subscription depth not supported","method":"subscribe","success":false}')
        return Request(method == "subscribe", streams or [params["channel"]], request_id)

    def answers(
        self, request: Request, refused: Mapping[str, str], subscribed: Collection[str]
    ) -> tuple[list[str], list[bytes]]:
        """As Dialect.answers(): one for each symbol."""
        granted, answers = [], []
        for stream in request.streams:
            channel, colon, symbol = stream.partition(":")
            error = refused.get(symbol) if request.add else None
            if colon and symbol not in self.symbols:
                error = f"Currency pair not supported {symbol}"
            elif request.add and stream in subscribed:
                error = "Already subscribed"
            elif not request.add and stream not in subscribed:
                error = "Subscription Not Found"
            answer: dict[str, Any] = {"method": "subscribe" if request.add else "unsubscribe"}
            if error is None:
                granted.append(stream)
                answer |= {"result": {"channel": channel} | ({"symbol": symbol} if colon else {}), "success": True}
            else:
                answer |= {"error": error, "success": False} | ({"symbol": symbol} if colon else {})
            answers.append(
                wire.encode(answer | {"req_id": request.request_id, "time_in": _ANSWERED, "time_out": _ANSWERED})
            )
        return granted, answers

    def snapshot(self, symbol: str, book: Book) -> bytes:
        """As Dialect.snapshot()."""
        bids, asks = book.best_bids(DEPTH), book.best_asks(DEPTH)
        return wire.book(symbol, "snapshot", bids, asks, wire.checksum(bids, asks), book.time)

    def shared(self, stream: str) -> list[bytes]:
        """As Dialect.shared(): the rules of every pair."""
        if stream != "instrument":
            return []
        pairs = [self._rules(symbol) for symbol in sorted(self.decimals)]
        data = ",".join(pairs)
        return [f'{{"channel":"instrument","type":"snapshot","data":{{"assets":[],"pairs":[{data}]}}}}'.encode()]

    def heartbeats(self, streams: Collection[str]) -> list[bytes]:
        """As Dialect.heartbeats()."""
        return [b'{"channel":"heartbeat"}'] if streams else []

    def greeting(self) -> list[bytes]:
        """As Dialect.greeting(): the state of the trading engine."""
        status = {"version": "2.0.10", "system": self._system, "api_version": "v2", "connection_id": 2**63 + 25}
        return [wire.encode({"channel": "status", "type": "update", "data": [status]})]

    def status(self, text: str) -> list[bytes]:
        """As Dialect.status()."""
        self._system = text
        return self.greeting()

    def with_wrong_checksum(self, payload: bytes) -> bytes:
        """As Dialect.with_wrong_checksum()."""
        head, _, rest = payload.rpartition(b'"checksum":')
        number, _, tail = rest.partition(b",")
        return b'%b"checksum":%d,%b' % (head, int(number) ^ 0x55, tail)

    def _rules(self, symbol: str) -> str:
        base, quote = symbol.split("/")
        price, quantity = self.decimals[symbol]
        rules = {
            "symbol": symbol,
            "base": base,
            "quote": quote,
            "status": "online",
            "qty_precision": quantity,
            "qty_increment": float(Decimal(1).scaleb(-quantity)),  # the exchange writes 1e-08, too
            "price_precision": price,
            "price_increment": float(Decimal(1).scaleb(-price)),
        }
        return json.dumps(rules)


class Kraken(KrakenDialect):
    """A recording of Kraken's v1, in v2."""

    def __init__(self, stem: str) -> None:
        self._trades: Counter[str] = Counter()
        messages = [
            message for time, text in lines(Path(f"{stem}.ws")) for message in self._converted(time, json.loads(text))
        ]
        pairs = answer_of(Path(f"{stem}.http"))["result"].values()
        decimals = {
            _symbol(pair["wsname"]): (pair["pair_decimals"], pair["lot_decimals"]) for pair in pairs if "wsname" in pair
        }
        super().__init__(messages, {message.stream.partition(":")[2] for message in messages}, decimals)

    def _converted(self, time: float, message: Any) -> Sequence[Recorded]:
        if isinstance(message, dict):
            return ()
        *bodies, name, pair = message[1:]
        symbol, channel = _symbol(pair), name.partition("-")[0]
        stream = f"{channel}:{symbol}"
        if channel == "trade":
            return [Recorded(time, stream, wire.trades(symbol, self._fills(symbol, bodies[0])))]
        if channel == "ticker":
            return [Recorded(time, stream, _ticker(symbol, bodies[0]))]
        body = {key: value for part in bodies for key, value in part.items()}
        bids, asks = body.get("bs", body.get("b", [])), body.get("as", body.get("a", []))
        at = max(float(level[2]) for level in [*bids, *asks])
        found = [[(level[0], level[1]) for level in side] for side in (bids, asks)]
        whole = "bs" in body or "as" in body
        checksum = int(body["c"]) if "c" in body else wire.checksum(*_best(*found))
        payload = wire.book(symbol, "snapshot" if whole else "update", found[0], found[1], checksum, at)
        return [Recorded(time, stream, payload, found[0], found[1], whole)]

    def _fills(self, symbol: str, recorded: list[list[str]]) -> list[wire.Fill]:
        fills = []
        for price, quantity, time, side, kind, _ in recorded:
            self._trades[symbol] += 1
            taker, order = ("buy" if side == "b" else "sell"), ("market" if kind == "m" else "limit")
            fills.append(wire.Fill(price, quantity, float(time), taker, order, self._trades[symbol]))
        return fills


def _symbol(pair: str) -> str:
    return "/".join(RENAMED.get(name, name) for name in pair.split("/"))


def _ticker(symbol: str, body: dict[str, list[str]]) -> bytes:
    last, high, low, volume, first = (
        body[key][index] for key, index in (("c", 0), ("h", 1), ("l", 1), ("v", 1), ("o", 1))
    )
    return wire.ticker(symbol, last=last, first=first, high=high, low=low, volume=volume)


def _best(bids: Levels, asks: Levels) -> tuple[Levels, Levels]:
    return (
        sorted(bids, key=lambda level: float(level[0]), reverse=True),
        sorted(asks, key=lambda level: float(level[0])),
    )
