"""The price line of a symbol: the last trade of each second, from the stream of trades."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tickfence.readers.data_plane import Command, Unreadable
from tickfence.readers.reader import Reader
from tickfence.streams.codec import BadEntry, decode_trade

MAX_MINUTES = 30
"""Ingest keeps trades for one minute more."""


class Prices(Struct, frozen=True):
    """The price of one symbol over time."""

    symbol: str
    points: Annotated[
        list[tuple[int, float]],
        Meta(
            description="[ms, price], oldest first: the last trade of each second. Seconds without a trade are left out."
        ),
    ]


async def fetch_prices(reader: Reader, symbol: str, minutes: int) -> Prices:
    """Return the price line of the last ``minutes``.

    Sends one command for each second of the line and reads one entry with it, however many trades there are.

    Raises:
        Unavailable: Redis does not answer, or an entry of the stream is not a trade.
    """
    now_ms, _ = await reader.plane.read([])
    key, second = reader.keys.trades(symbol), now_ms // 1000
    commands: list[Command] = [
        ("XREVRANGE", key, start * 1000 + 999, start * 1000, "COUNT", 1)
        for start in range(second - minutes * 60 + 1, second + 1)
    ]
    _, replies = await reader.plane.read(commands)
    try:
        trades = [decode_trade(*entries[0]) for entries in replies if entries]
    except BadEntry as error:
        raise Unreadable(f"{key}: {error}") from error
    return Prices(symbol, [(trade.time_ms, trade.price) for trade in trades])
