"""The price line of a symbol: the last trade of each second, from the stream of trades."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tickfence.streams.codec import BadEntry, decode_trade
from tickfence.streams.keys import trades_key
from tickfence.web.data_plane import Command, DataPlane, Unreadable

LONGEST_MINUTES = 30
"""Ingest keeps trades a minute longer."""


class Prices(Struct, frozen=True):
    """The price of one symbol over time."""

    symbol: str
    points: Annotated[
        list[tuple[int, float]],
        Meta(description="[ms, price], oldest first: the last trade of each second, seconds without one left out."),
    ]


async def read_prices(plane: DataPlane, symbol: str, minutes: int) -> Prices:
    """The line of the last ``minutes``.

    One command a second of the line, each for one entry, whatever the number of trades.

    Raises:
        web.data_plane.Unavailable: Redis is away, or an entry of the stream is no trade.
    """
    now_ms, _ = await plane.read([])
    key, second = trades_key(symbol), now_ms // 1000
    commands: list[Command] = [
        ("XREVRANGE", key, start * 1000 + 999, start * 1000, "COUNT", 1)
        for start in range(second - minutes * 60 + 1, second + 1)
    ]
    _, replies = await plane.read(commands)
    try:
        trades = [decode_trade(*entries[0]) for entries in replies if entries]
    except BadEntry as error:
        raise Unreadable(f"{key}: {error}") from error
    return Prices(symbol, [(trade.time_ms, trade.price) for trade in trades])
