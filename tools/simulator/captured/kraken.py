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
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zlib import crc32

from tools.simulator.captured.dialect import BadRequest, Book, Dialect, Levels, Recorded, Request, answer_of, lines

DEPTH = 1000
RENAMED = {"XBT": "BTC", "XDG": "DOGE"}
_ANSWERED = "2026-01-01T00:00:00.000000Z"


class Kraken(Dialect):
    """A recording of Kraken's, in v2."""

    name, path, depth = "kraken", "/v2", DEPTH

    def __init__(self, stem: str) -> None:
        self._trades: Counter[str] = Counter()
        self.messages = [
            message for time, text in lines(Path(f"{stem}.ws")) for message in self._converted(time, json.loads(text))
        ]
        pairs = answer_of(Path(f"{stem}.http"))["result"].values()
        self._pairs = {_symbol(pair["wsname"]): pair for pair in pairs if "wsname" in pair}
        self.symbols = {message.stream.partition(":")[2] for message in self.messages}
        self._system = "online"

    def parse(self, text: str) -> Request | bytes:
        """As Dialect.parse()."""
        try:
            message = json.loads(text)
            method, request_id = message["method"], message.get("req_id")
            if method == "ping":
                return _encode({"method": "pong", "req_id": request_id, "time_in": _ANSWERED, "time_out": _ANSWERED})
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
                _encode(answer | {"req_id": request.request_id, "time_in": _ANSWERED, "time_out": _ANSWERED})
            )
        return granted, answers

    def snapshot(self, symbol: str, book: Book) -> bytes:
        """As Dialect.snapshot()."""
        return _book(symbol, "snapshot", book.best_bids(DEPTH), book.best_asks(DEPTH), _sum(book), _rfc3339(book.time))

    def shared(self, stream: str) -> list[bytes]:
        """As Dialect.shared(): the rules of every pair."""
        if stream != "instrument":
            return []
        pairs = [self._rules(symbol) for symbol in sorted(self._pairs)]
        data = ",".join(pairs)
        return [f'{{"channel":"instrument","type":"snapshot","data":{{"assets":[],"pairs":[{data}]}}}}'.encode()]

    def heartbeats(self, streams: Collection[str]) -> list[bytes]:
        """As Dialect.heartbeats()."""
        return [b'{"channel":"heartbeat"}'] if streams else []

    def greeting(self) -> list[bytes]:
        """As Dialect.greeting(): the state of the trading engine."""
        status = {"version": "2.0.10", "system": self._system, "api_version": "v2", "connection_id": 2**63 + 25}
        return [_encode({"channel": "status", "type": "update", "data": [status]})]

    def status(self, text: str) -> list[bytes]:
        """As Dialect.status()."""
        self._system = text
        return self.greeting()

    def with_wrong_checksum(self, payload: bytes) -> bytes:
        """As Dialect.with_wrong_checksum()."""
        head, _, rest = payload.rpartition(b'"checksum":')
        number, _, tail = rest.partition(b",")
        return b'%b"checksum":%d,%b' % (head, int(number) ^ 0x55, tail)

    def _converted(self, time: float, message: Any) -> Sequence[Recorded]:
        if isinstance(message, dict):
            return ()
        *bodies, name, pair = message[1:]
        symbol, channel = _symbol(pair), name.partition("-")[0]
        stream = f"{channel}:{symbol}"
        if channel == "trade":
            return [Recorded(time, stream, self._trade(symbol, bodies[0]))]
        if channel == "ticker":
            return [Recorded(time, stream, _ticker(symbol, bodies[0]))]
        body = {key: value for part in bodies for key, value in part.items()}
        bids, asks = body.get("bs", body.get("b", [])), body.get("as", body.get("a", []))
        at = _rfc3339(max(float(level[2]) for level in [*bids, *asks]))
        found = [[(level[0], level[1]) for level in side] for side in (bids, asks)]
        whole = "bs" in body or "as" in body
        made = Recorded(time, stream, b"", found[0], found[1], whole)
        checksum = int(body["c"]) if "c" in body else _sum_of(made)
        payload = _book(symbol, "snapshot" if whole else "update", found[0], found[1], checksum, at)
        return [made._replace(payload=payload)]

    def _trade(self, symbol: str, trades: list[list[str]]) -> bytes:
        parts = []
        for price, quantity, time, side, kind, _ in trades:
            self._trades[symbol] += 1
            names = f'"symbol":"{symbol}","side":"{"buy" if side == "b" else "sell"}"'
            order = f'"ord_type":"{"market" if kind == "m" else "limit"}","trade_id":{self._trades[symbol]}'
            parts.append(f'{{{names},"price":{price},"qty":{quantity},{order},"timestamp":"{_rfc3339(float(time))}"}}')
        return f'{{"channel":"trade","type":"update","data":[{",".join(parts)}]}}'.encode()

    def _rules(self, symbol: str) -> str:
        pair = self._pairs[symbol]
        base, quote = symbol.split("/")
        price, quantity = pair["pair_decimals"], pair["lot_decimals"]
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


def _symbol(pair: str) -> str:
    return "/".join(RENAMED.get(name, name) for name in pair.split("/"))


def _ticker(symbol: str, body: dict[str, list[str]]) -> bytes:
    last, high, low, volume, first = (
        body[key][index] for key, index in (("c", 0), ("h", 1), ("l", 1), ("v", 1), ("o", 1))
    )
    change = f"{(float(last) - float(first)) / float(first) * 100:.2f}"
    values = f'"last":{last},"volume":{volume},"low":{low},"high":{high},"change_pct":{change}'
    return f'{{"channel":"ticker","type":"update","data":[{{"symbol":"{symbol}",{values}}}]}}'.encode()


def _book(symbol: str, kind: str, bids: Levels, asks: Levels, checksum: int, at: str) -> bytes:
    sides = [",".join(f'{{"price":{price},"qty":{quantity}}}' for price, quantity in side) for side in (bids, asks)]
    data = f'"symbol":"{symbol}","bids":[{sides[0]}],"asks":[{sides[1]}],"checksum":{checksum},"timestamp":"{at}"'
    return f'{{"channel":"book","type":"{kind}","data":[{{{data}}}]}}'.encode()


def _sum(book: Book) -> int:
    levels = [*book.best_asks(10), *book.best_bids(10)]
    digits = [number.replace(".", "").lstrip("0") for level in levels for number in level]
    return crc32("".join(digits).encode())


def _sum_of(snapshot: Recorded) -> int:
    book = Book(DEPTH)
    book.take(snapshot)
    return _sum(book)


def _rfc3339(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
