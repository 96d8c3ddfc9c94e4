"""Malformed messages that an exchange with OKX's protocol might send, by kind.

An update with wrong prices or quantities carries sequence ids that connect to the last update, and the real updates
connect to it. A client that accepts such an update notices nothing until it checks prices.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from tools.simulator.okx.wire import BOOKS, TICKERS, TRADES, encode

HUGE_BYTES = 10 * 2**20


class Scene(NamedTuple):
    """The values that a malformed message is made from."""

    name: str
    previous: int
    seq_id: int
    bid: str
    ask: str
    size: str

    def book(self, bids: object = (), asks: object = (), **other: object) -> bytes:
        """A message of `books` that is correct except for the given fields, and without a checksum."""
        ids = {"prevSeqId": self.previous, "seqId": self.seq_id}
        data = {"asks": asks, "bids": bids, "ts": _now(), "checksum": 0, **ids} | other
        return encode({"arg": {"channel": BOOKS, "instId": self.name}, "action": "update", "data": [data]})

    def trade(self, **other: object) -> bytes:
        """A message of `trades` that is correct except for the given fields."""
        data: dict[str, object] = {"instId": self.name, "tradeId": str(2**52), "px": self.bid, "sz": self.size}
        data |= {"side": "sell", "ts": _now(), "count": "1"} | other
        return encode({"arg": {"channel": TRADES, "instId": self.name}, "data": [data]})

    def level(self, price: str, size: str) -> list[list[str]]:
        """One side with one level."""
        return [[price, size, "0", "1"]]


class Kind(NamedTuple):
    """A kind of malformed message.

    Attributes:
        make: makes the message.
        connects: True for an update that uses the next sequence id.
    """

    make: Callable[[Scene], bytes]
    connects: bool = False


RUBBISH: dict[str, Kind] = {
    "not-json": Kind(lambda at: b'{"arg":{"channel":"books","instId":"%b"},"action":' % at.name.encode()),
    "not-utf8": Kind(lambda _: b'{"arg":"\xff\xfe"}'),
    "not-an-object": Kind(lambda _: b"[1,2,3]"),
    "unknown-event": Kind(lambda _: b'{"event":"surprise","code":"1"}'),
    "wrong-types": Kind(lambda at: at.book(7, {"price": []}, seqId="one"), connects=True),
    "missing-fields": Kind(
        lambda at: encode({"arg": {"channel": BOOKS, "instId": at.name}, "action": "update", "data": [{}]}),
        connects=True,
    ),
    "nan": Kind(lambda at: at.book(at.level("NaN", at.size), at.level(at.ask, "NaN")), connects=True),
    "infinity": Kind(lambda at: at.book(at.level("Infinity", at.size), at.level(at.ask, "1e999")), connects=True),
    "not-a-number": Kind(lambda at: at.book(at.level("12,5", at.size)), connects=True),
    "negative-price": Kind(lambda at: at.book(at.level("-" + at.bid, at.size)), connects=True),
    "negative-quantity": Kind(lambda at: at.book(at.level(at.bid, "-" + at.size)), connects=True),
    "crossed": Kind(lambda at: at.book(at.level(at.ask, at.size), at.level(at.bid, at.size)), connects=True),
    "huge": Kind(lambda at: at.book(padding="x" * HUGE_BYTES), connects=True),
    "ids-negative": Kind(lambda at: at.book(prevSeqId=-5, seqId=-4)),
    "changes-without-an-id": Kind(
        lambda at: at.book(at.level(at.bid, at.size), prevSeqId=at.previous, seqId=at.previous)
    ),
    "unknown-symbol": Kind(lambda at: at._replace(name="NOSUCH-USDT").book(at.level(at.bid, at.size))),
    "unknown-action": Kind(lambda at: at.book().replace(b'"update"', b'"replace"')),
    "trade-nan": Kind(lambda at: at.trade(px="NaN")),
    "trade-negative": Kind(lambda at: at.trade(px="-" + at.bid)),
    "trade-wrong-types": Kind(lambda at: at.trade(tradeId=[], side=1)),
    "ticker-wrong-types": Kind(
        lambda at: encode({"arg": {"channel": TICKERS, "instId": at.name}, "data": [{"last": []}]})
    ),
}


def _now() -> str:
    return str(time.time_ns() // 1_000_000)
