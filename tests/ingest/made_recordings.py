"""Small recordings of Kraken's WebSocket v1 and of Coinbase's, made up, for what needs no real market."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

START_S = 1_618_678_132.5


def kraken(stem: Path, *pairs: str, updates: int) -> None:
    """Books of twelve levels a side; then, pair by pair, updates that set the best and the second bid in turn, and a trade."""
    sent: list[Any] = []
    bids = [[f"{100 - level}.10", f"{level + 1}.00000000", f"{START_S:.6f}"] for level in range(12)]
    asks = [[f"{101 + level}.10", f"{level + 1}.00000000", f"{START_S:.6f}"] for level in range(12)]
    for pair in pairs:
        event = {"channelID": 1, "channelName": "book-1000", "event": "subscriptionStatus", "pair": pair}
        sent += [event, [1, {"as": asks, "bs": [*bids]}, "book-1000", pair]]
        last = {"c": ["100.5", "1"], "v": ["1", "2"], "l": ["90", "90"], "h": ["110", "110"], "o": ["100", "100"]}
        sent.append([1, last, "ticker", pair])
    for number in range(1, updates + 1):
        time = f"{START_S + number:.6f}"
        changed = bids[(number + 1) % 2] = [bids[(number + 1) % 2][0], f"{number}.50000000", time]
        best = [*asks[:10], *bids[:10]]
        text = "".join(str(int(part.replace(".", ""))) for level in best for part in level[:2])
        for pair in pairs:
            sent.append([1, {"b": [changed], "c": str(crc32(text.encode()))}, "book-1000", pair])
            sent.append([2, [["100.10", "0.50000000", time, "b", "m", ""]], "trade", pair])
    _write(stem, sent)
    listed = {pair: {"wsname": pair, "pair_decimals": 2, "lot_decimals": 8} for pair in pairs}
    Path(f"{stem}.http").write_text(f"http://kraken/AssetPairs -> 1.0: {json.dumps({'error': [], 'result': listed})}\n")


def coinbase(stem: Path, *products: str, updates: int) -> None:
    """The same of Coinbase."""
    sent: list[Any] = []
    bids = [[f"{100 - level}.10", f"{level + 1}.0"] for level in range(12)]
    asks = [[f"{101 + level}.10", f"{level + 1}.0"] for level in range(12)]
    for product in products:
        sent.append({"type": "snapshot", "product_id": product, "asks": asks, "bids": bids})
    for number in range(1, updates + 1):
        time = f"2021-04-17T16:43:{number // 10:02}.{number % 10}00000Z"
        for product in products:
            named = {"product_id": product, "time": time}
            changes = [["buy", ("99.10", "100.10")[number % 2], f"{number}.5"]]
            sent.append({"type": "l2update", "changes": changes} | named)
            trade = {"trade_id": number, "side": "sell", "size": "0.5", "price": "100.1", "sequence": number}
            sent.append({"type": "match"} | trade | named)
    _write(stem, sent)
    rules = {"quote_increment": "0.01", "base_increment": "0.001", "status": "online"}
    listed = [
        {"id": product, "base_currency": product.split("-")[0], "quote_currency": product.split("-")[1]} | rules
        for product in products
    ]
    Path(f"{stem}.http").write_text(f"http://coinbase/products -> 1.0: {json.dumps(listed)}\n")


def _write(stem: Path, sent: list[Any]) -> None:
    lines = (f"{START_S + number / 100}: {json.dumps(message)}\n" for number, message in enumerate(sent))
    Path(f"{stem}.ws").write_text("".join(lines))
