"""How many names a URL may hold: servers refuse a request line of more than 8 KiB."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

NAMES_BYTES = 7_000
SEPARATOR_BYTES = 9
"""Between two names: in a JSON list of strings ``","``, percent-encoded."""


def leading(names: Sequence[str], most: int) -> int:
    """How many of the first names fit into one URL, ``most`` at most.

    A letter beyond ASCII takes up to nine bytes there: its UTF-8, percent-encoded.

    Example:
        >>> leading(["BTCUSDT", "ETHUSDT", "BNBUSDT"], 2)
        2
        >>> leading(["币安人生USDT"] * 1_000, 1_000)
        142
    """
    length = 0
    for count, name in enumerate(names[:most]):
        length += len(quote(name)) + SEPARATOR_BYTES
        if length > NAMES_BYTES:
            return count
    return min(len(names), most)
