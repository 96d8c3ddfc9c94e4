"""Messages of Kraken's WebSocket v2. Numbers are JSON numbers with the text that is given.

Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2, pages book and trade, and the guide "Book checksum
(WebSocket v2)".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zlib import crc32

Levels = Sequence[tuple[str, str]]


class Fill(NamedTuple):
    """A trade.

    Attributes:
        price: its text.
        quantity: its text.
        time: Unix time in seconds.
        side: the taker's, `buy` or `sell`.
        kind: of the taker's order, `limit` or `market`.
        trade_id: its number.
    """

    price: str
    quantity: str
    time: float
    side: str
    kind: str
    trade_id: int


def book(symbol: str, kind: str, bids: Levels, asks: Levels, checksum: int, time: float) -> bytes:
    """A `snapshot` or an `update` of a book."""
    sides = [",".join(f'{{"price":{price},"qty":{quantity}}}' for price, quantity in side) for side in (bids, asks)]
    data = f'"symbol":"{symbol}","bids":[{sides[0]}],"asks":[{sides[1]}],"checksum":{checksum}'
    return f'{{"channel":"book","type":"{kind}","data":[{{{data},"timestamp":"{rfc3339(time)}"}}]}}'.encode()


def trades(symbol: str, fills: Iterable[Fill]) -> bytes:
    """Trades that one message tells of."""
    parts = ",".join(
        f'{{"symbol":"{symbol}","side":"{one.side}","price":{one.price},"qty":{one.quantity},"ord_type":"{one.kind}",'
        f'"trade_id":{one.trade_id},"timestamp":"{rfc3339(one.time)}"}}'
        for one in fills
    )
    return f'{{"channel":"trade","type":"update","data":[{parts}]}}'.encode()


def ticker(symbol: str, *, last: str, first: str, high: str, low: str, volume: str) -> bytes:
    """Statistics of 24 hours; `first` is the price before them."""
    change = f"{(float(last) - float(first)) / float(first) * 100:.2f}"
    values = f'"last":{last},"volume":{volume},"low":{low},"high":{high},"change_pct":{change}'
    return f'{{"channel":"ticker","type":"update","data":[{{"symbol":"{symbol}",{values}}}]}}'.encode()


def checksum(best_bids: Levels, best_asks: Levels) -> int:
    """The sum of the ten best levels, best first."""
    levels = [*best_asks[:10], *best_bids[:10]]
    return crc32("".join(number.replace(".", "").lstrip("0") for level in levels for number in level).encode())


def rfc3339(time: float) -> str:
    """A Unix time as the exchange writes it."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def encode(message: dict[str, Any]) -> bytes:
    """A message without numbers that have a text of their own."""
    return json.dumps(message, separators=(",", ":")).encode()
