"""Coinbase's order books from a recording, by its documentation alone: no code of the product.

Source: https://docs.cdp.coinbase.com/exchange/websocket-feed/channels, "Level2 Channel".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple


class State(NamedTuple):
    """A book after a message.

    Attributes:
        product: whose.
        bids: price to quantity; the same dict after every message.
        asks: the same.
    """

    product: str
    bids: dict[float, float]
    asks: dict[float, float]


def states(stem: Path) -> Iterator[State]:
    """The book after every message of a book."""
    books: dict[str, dict[str, dict[float, float]]] = {}
    for line in Path(f"{stem}.ws").read_text().splitlines():
        message = json.loads(line.split(": ", 1)[1])
        product = message["product_id"]
        if message["type"] == "snapshot":
            sides = {"buy": message["bids"], "sell": message["asks"]}
            books[product] = {side: {float(p): float(q) for p, q in levels} for side, levels in sides.items()}
        elif message["type"] == "l2update":
            for side, price, quantity in message["changes"]:
                if Decimal(quantity):
                    books[product][side][float(price)] = float(quantity)
                else:
                    books[product][side].pop(float(price), None)
        else:
            continue
        yield State(product, books[product]["buy"], books[product]["sell"])
