"""Recorded sessions of other exchanges, served in the exchange's own dialect.

    python -m tools.simulator --replay captures/kraken --speed max
    python -m tools.simulator --replay captures/coinbase
    python -m tools.simulator --replay captures/bitstamp --speed 20

`kraken.py`, `coinbase.py` and `bitstamp.py` read a recording, say what they convert in it, and know the dialect. `server.py` replays it
over WebSockets, and has the faults. From the rest of the repository they import nothing of the product.
"""

from __future__ import annotations

from pathlib import Path

from tools.simulator.captured.bitstamp import Bitstamp
from tools.simulator.captured.coinbase import Coinbase
from tools.simulator.captured.dialect import Dialect
from tools.simulator.captured.kraken import Kraken


def dialect_of(stem: str) -> type[Dialect] | None:
    """The dialect of a recording; None if it is Binance's, or cannot be read."""
    try:
        with Path(f"{stem}.ws").open("rb") as file:
            first = file.readline()
    except OSError:
        return None
    if b'"channelID"' in first:
        return Kraken
    if b'"bts:subscription_succeeded"' in first or b'"diff_order_book_' in first:
        return Bitstamp
    return Coinbase if b'"product_id"' in first else None
