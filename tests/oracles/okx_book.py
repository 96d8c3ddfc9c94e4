"""OKX's order book as its documentation says to keep it, on decimals and the exchange's own texts.

Source: https://www.okx.com/docs-v5/en/, "WS / Order book channel". It shares no code with the product.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class TrueBook:
    """One instrument's book.

    Attributes:
        bids, asks: price -> price and size as the exchange has written them.
        seq_id: of the newest message.
    """

    def __init__(self) -> None:
        self.bids: dict[Decimal, tuple[str, str]] = {}
        self.asks: dict[Decimal, tuple[str, str]] = {}
        self.seq_id: int | None = None

    def take(self, action: str, data: Json) -> None:
        """Take a message's action and its one piece of data."""
        if action == "snapshot":
            self.bids, self.asks = {}, {}
        else:
            assert data.get("prevSeqId") == self.seq_id, "the messages themselves have no gap"
        self.seq_id = data.get("seqId")
        for side, changes in ((self.bids, data["bids"]), (self.asks, data["asks"])):
            for price, size, *_ in changes:
                if Decimal(size):
                    side[Decimal(price)] = (price, size)
                else:
                    side.pop(Decimal(price), None)

    @property
    def checksum(self) -> int:
        """CRC32 of the best 25 levels a side, as a signed number."""
        bids = [self.bids[price] for price in sorted(self.bids, reverse=True)[:25]]
        asks = [self.asks[price] for price in sorted(self.asks)[:25]]
        texts = []
        for place in range(25):
            for side in (bids, asks):
                if place < len(side):
                    texts.append(":".join(side[place]))
        return int.from_bytes(zlib.crc32(":".join(texts).encode()).to_bytes(4, "big"), "big", signed=True)

    def as_floats(self) -> tuple[dict[float, float], dict[float, float]]:
        """Both sides: price -> size."""
        bids, asks = ({float(p): float(size) for p, (_, size) in side.items()} for side in (self.bids, self.asks))
        return bids, asks


def recorded(stem: Path) -> Iterator[Json]:
    """A recording's messages, in order. Book messages that have no sequence ids yet get them, as the exchange sends now."""
    newest: dict[str, int] = {}
    for line in Path(f"{stem}.ws").read_text().splitlines():
        message: Json = json.loads(line.split(": ", 1)[1])
        if message.get("arg", {}).get("channel") == "books" and "data" in message:
            name = message["arg"]["instId"]
            for data in message["data"]:
                if "seqId" not in data:
                    snapshot = message["action"] == "snapshot"
                    data["prevSeqId"] = -1 if snapshot else newest[name]
                    newest[name] = data["seqId"] = newest.get(name, 1_000) + 3
        yield message
