"""Bitstamp's order books from a recording, by its documentation alone: no code of the product.

Source: https://www.bitstamp.net/websocket/v2/, "Live full order book", which asks to drop changes that are not newer than the
book that REST gave.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

Book = tuple[dict[float, float], dict[float, float]]
"""Price to quantity: bids and asks."""


class Trade(NamedTuple):
    """One trade, as the exchange writes its numbers."""

    price: str
    amount: str
    is_buy: bool


def states(stem: Path, pair: str) -> list[Book]:
    """The book that REST gave, and the book after each later change."""
    newest, sides = _first(stem, pair)
    found = [_floats(sides)]
    for message in _messages(stem, f"diff_order_book_{pair}"):
        if int(message["microtimestamp"]) <= newest:
            continue
        for side, changes in zip(sides, (message["bids"], message["asks"]), strict=True):
            for price, amount in changes:
                side[Decimal(price)] = Decimal(amount)
        found.append(_floats(sides))
    return found


def trades(stem: Path, pair: str) -> list[Trade]:
    """Every trade, in order."""
    of_pair = _messages(stem, f"live_trades_{pair}")
    return [Trade(each["price_str"], each["amount_str"], each["type"] == 0) for each in of_pair]


def _first(stem: Path, pair: str) -> tuple[int, tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]]:
    for line in Path(f"{stem}.http").read_text().splitlines():
        if f"/order_book/{pair} " in line:
            body = json.loads(line.split(" -> ", 1)[1].split(": ", 1)[1])
            bids, asks = ({Decimal(p): Decimal(q) for p, q in body[side]} for side in ("bids", "asks"))
            return int(body["microtimestamp"]), (bids, asks)
    raise AssertionError(f"the recording has no book of {pair}")


def _messages(stem: Path, channel: str) -> list[dict[str, object]]:
    bodies = (json.loads(line.split(": ", 1)[1]) for line in Path(f"{stem}.ws").read_text().splitlines())
    return [body["data"] for body in bodies if body["channel"] == channel and body["event"] in ("data", "trade")]


def _floats(sides: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]) -> Book:
    bids, asks = ({float(price): float(amount) for price, amount in side.items() if amount} for side in sides)
    return bids, asks
