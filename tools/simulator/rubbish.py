"""Malformed messages that an exchange might send, by kind.

A diff with wrong prices or quantities carries the next update id, and the real diffs connect to it. A client that accepts
such a diff notices nothing until it checks prices.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

HUGE_BYTES = 10 * 2**20
NESTED_LEVELS = 20_000


class Scene(NamedTuple):
    """The values that a malformed message is made from."""

    symbol: str
    update_id: int
    bid: str
    ask: str
    quantity: str

    def diff(self, bids: object = (), asks: object = (), **other: object) -> bytes:
        """A `depthUpdate` event that is correct except for the given fields."""
        event = {
            "e": "depthUpdate",
            "E": _now_ms(),
            "s": self.symbol,
            "U": self.update_id,
            "u": self.update_id,
            "b": bids,
            "a": asks,
        }
        return msgspec.json.encode(event | other)

    def trade(self, **other: object) -> bytes:
        """A `trade` event that is correct except for the given fields."""
        now = _now_ms()
        event = {"e": "trade", "E": now, "s": self.symbol, "t": 2**52, "p": self.bid, "q": self.quantity}
        return msgspec.json.encode(event | {"T": now, "m": True, "M": True} | other)


class Kind(NamedTuple):
    """A kind of malformed message.

    Attributes:
        make: makes the message.
        stream: suffix of its stream; "" sends it without a wrapper.
        connects: True for a diff that uses the next update id.
    """

    make: Callable[[Scene], bytes]
    stream: str = "@depth@100ms"
    connects: bool = False


RUBBISH: dict[str, Kind] = {
    "not-json": Kind(lambda at: b'{"stream":"%b@depth@100ms","data":{"e":' % at.symbol.lower().encode(), ""),
    "not-utf8": Kind(lambda _: b'{"stream":"\xff\xfe"}', ""),
    "nested": Kind(lambda _: b'{"z":%b%b}' % (b"[" * NESTED_LEVELS, b"]" * NESTED_LEVELS), ""),
    "not-an-object": Kind(lambda _: b"[1,2,3]", ""),
    "wrong-types": Kind(lambda at: at.diff(U="one", u=None, b=7, a={"price": []}), connects=True),
    "missing-fields": Kind(lambda at: b'{"e":"depthUpdate","s":"%b"}' % at.symbol.encode(), connects=True),
    "nan": Kind(lambda at: at.diff([("NaN", at.quantity)], [(at.ask, "NaN")]), connects=True),
    "infinity": Kind(lambda at: at.diff([("Infinity", at.quantity)], [(at.ask, "1e999")]), connects=True),
    "not-a-number": Kind(lambda at: at.diff([("12,5", at.quantity)]), connects=True),
    "negative-price": Kind(lambda at: at.diff([("-" + at.bid, at.quantity)]), connects=True),
    "negative-quantity": Kind(lambda at: at.diff([(at.bid, "-" + at.quantity)]), connects=True),
    "crossed": Kind(lambda at: at.diff([(at.ask, at.quantity)], [(at.bid, at.quantity)]), connects=True),
    "huge": Kind(lambda at: at.diff(padding="x" * HUGE_BYTES), connects=True),
    "unknown-symbol": Kind(lambda at: at.diff([(at.bid, at.quantity)], s="NOSUCHUSDT")),
    "ids-back": Kind(lambda at: at.diff(U=at.update_id - 100, u=at.update_id - 90)),
    "ids-reversed": Kind(lambda at: at.diff(U=at.update_id, u=at.update_id - 10)),
    "trade-nan": Kind(lambda at: at.trade(p="NaN"), "@trade"),
    "trade-negative": Kind(lambda at: at.trade(p="-" + at.bid), "@trade"),
    "trade-wrong-types": Kind(lambda at: at.trade(t="one", m="yes"), "@trade"),
    "ticker-wrong-types": Kind(lambda at: b'{"e":"24hrTicker","E":1,"s":"%b","c":[]}' % at.symbol.encode(), "@ticker"),
}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
