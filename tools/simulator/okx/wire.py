"""OKX's wire formats: pushed data, answers to control messages, REST bodies. Pure encoding, no I/O.

Source: https://www.okx.com/docs-v5/en/. Numbers are text without trailing zeros; times are milliseconds since the epoch.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any, Final

import msgspec

BOOKS, TRADES, TICKERS = "books", "trades", "tickers"
CHANNELS: Final = (BOOKS, TRADES, TICKERS)
BOOK_LEVELS: Final = 400
CHECKED_LEVELS: Final = 25
CONNECTION_ID: Final = "a4d3ae55"

INVALID_REQUEST, TOO_FREQUENT, DOES_NOT_EXIST, SERVICE_UPGRADE = "60012", "60014", "60018", "64008"
TEXTS: Final = {
    TOO_FREQUENT: "Requests too frequent",
    SERVICE_UPGRADE: "The connection will soon be closed for a service upgrade. Please reconnect.",
}

Levels = Mapping[int, int]
"""Price in ticks -> quantity in steps."""
Text = tuple[str, str]

encode = msgspec.json.Encoder().encode


def decimal(units: int, decimals: int) -> str:
    """A whole number of units as decimal text.

    >>> decimal(302440, 1), decimal(302445, 1), decimal(7, 3)
    ('30244', '30244.5', '0.007')
    """
    whole, part = divmod(units, 10**decimals)
    return f"{whole}.{part:0{decimals}d}".rstrip("0") if part else str(whole)


def checksum(bids: Sequence[Text], asks: Sequence[Text]) -> int:
    """CRC32 of the best levels, a bid and an ask in turn, as a signed number; each side best first."""
    both = zip_longest(bids[:CHECKED_LEVELS], asks[:CHECKED_LEVELS])
    text = ":".join(f"{level[0]}:{level[1]}" for level in chain.from_iterable(both) if level)
    unsigned = zlib.crc32(text.encode())
    return unsigned - 2**32 if unsigned >= 2**31 else unsigned


def book(
    name: str,
    action: str,
    bids: Iterable[Text],
    asks: Iterable[Text],
    *,
    time_ms: int,
    previous: int,
    seq_id: int,
    crc: int,
) -> bytes:
    """A message of `books`; `action` is snapshot or update. A quantity 0 removes a level."""
    data = {
        "asks": [(price, size, "0", "0" if size == "0" else "1") for price, size in asks],
        "bids": [(price, size, "0", "0" if size == "0" else "1") for price, size in bids],
        "ts": str(time_ms),
        "checksum": crc,
        "prevSeqId": previous,
        "seqId": seq_id,
    }
    return encode({"arg": {"channel": BOOKS, "instId": name}, "action": action, "data": [data]})


def trade(name: str, time_ms: int, trade_id: int, price: str, size: str, side: str, count: int, seq_id: int) -> bytes:
    """A message of `trades`: `count` matches, the last of which has the id."""
    data = rest_trade(name, time_ms, trade_id, price, size, side) | {"count": str(count), "seqId": seq_id}
    return encode({"arg": {"channel": TRADES, "instId": name}, "data": [data]})


def rest_trade(name: str, time_ms: int, trade_id: int, price: str, size: str, side: str) -> dict[str, Any]:
    """One trade of `GET /api/v5/market/history-trades`."""
    ids = {"instId": name, "tradeId": str(trade_id)}
    return {**ids, "px": price, "sz": size, "side": side, "ts": str(time_ms), "source": "0"}


def acknowledgement(event: str, channel: str, name: str, request_id: object) -> bytes:
    """The answer to an accepted subscription, or to its end."""
    answer = {"event": event, "arg": {"channel": channel, "instId": name}, "connId": CONNECTION_ID}
    return encode(_with_id(answer, request_id))


def error(code: str, text: str, request_id: object = None) -> bytes:
    """The answer to a refused control message."""
    return encode(_with_id({"event": "error", "code": code, "msg": text, "connId": CONNECTION_ID}, request_id))


def does_not_exist(channel: str, name: str) -> str:
    """The text of error 60018."""
    return (
        f"Wrong URL or channel:{channel},instId:{name} doesn't exist. "
        "Please use the correct URL, channel and parameters referring to API document."
    )


def notice(code: str) -> bytes:
    """What the exchange tells its users."""
    return encode({"event": "notice", "code": code, "msg": TEXTS[code], "connId": CONNECTION_ID})


def too_many_connections(channel: str, count: int) -> bytes:
    """The end of this connection's subscriptions to a channel."""
    event = {"event": "channel-conn-count-error", "channel": channel, "connCount": str(count)}
    return encode({**event, "connId": CONNECTION_ID})


def rest(data: Sequence[Mapping[str, Any]], code: str = "0", text: str = "") -> bytes:
    """The body of a REST answer."""
    return encode({"code": code, "data": data, "msg": text})


def _with_id(answer: dict[str, Any], request_id: object) -> dict[str, Any]:
    return answer if request_id is None else {"id": request_id} | answer
