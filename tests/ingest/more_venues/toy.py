"""A made-up exchange, as one file beside the venues: snapshots by stream, ids that connect, a checksum, pings as text.

Its streams are called ``trades BTC-EUR`` and ``book BTC-EUR``. A message is a list of events, each of one stream.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any
from zlib import crc32

from ingest.events import (
    BookSnapshot,
    ControlReply,
    Depth,
    Diff,
    Event,
    Notice,
    Refused,
    Rejected,
    Rules,
    Shutdown,
    SymbolRules,
    Trade,
)
from ingest.venue import BookProof, KeepAlive, Limits, Snapshots, Venue
from tickfence.analytics.book import OrderBook
from tickfence.instrument import Instrument, split
from tickfence.monitoring.ingest_metrics import Refusal


def checksum(bids: Sequence[tuple[float, float]], asks: Sequence[tuple[float, float]]) -> int:
    """Of the three best levels a side."""
    return crc32(json.dumps([bids[:3], asks[:3]]).encode())


class Toy(Venue):
    """The exchange's protocol."""

    ws_url = "ws://127.0.0.1:1"
    limits = Limits(
        streams_per_connection=8,
        control_messages_per_s=100.0,
        connection_lifetime_s=float("inf"),
        connections=(100, 10.0),
        request_weight=(10, 1.0),
    )
    keep_alive = KeepAlive(ping="ping", ping_after_s=5.0, silence_s=15.0)
    snapshots = Snapshots.STREAM
    numbered = True
    book_levels = 4
    shared_streams = ("rules",)

    def __init__(self) -> None:
        self._followed: Collection[Instrument] = ()

    def follow(self, symbols: Collection[Instrument]) -> None:
        self._followed = symbols

    def streams(self, symbol: Instrument) -> list[str]:
        return [f"trades {split(symbol)[1]}", self.book_stream(symbol)]

    def book_stream(self, symbol: Instrument) -> str:
        return f"book {split(symbol)[1]}"

    def requests(self, add: bool, streams: Sequence[str], first_id: int) -> list[tuple[str, Sequence[str]]]:
        """One message for each kind of stream."""
        kinds = dict.fromkeys(stream.partition(" ")[0] for stream in streams)
        about = [[stream for stream in streams if stream.startswith(kind)] for kind in kinds]
        return [(json.dumps([add, number, *each]), each) for number, each in enumerate(about, first_id)]

    def decode(self, message: bytes) -> Sequence[Event]:
        """A list of events, of which those of other symbols are left out."""
        found = () if message == b"pong" else (self._event(**each) for each in json.loads(message))
        return [event for event in found if event is not None]

    def _event(self, kind: str, symbol: str = "", **data: Any) -> Event | None:
        name = Instrument(f"{self.name}:{symbol}")
        if kind == "refused":
            return ControlReply(data["why"], streams=data["streams"], later=data.get("later", False))
        if kind == "bye":
            return Shutdown()
        if kind == "notice":
            return Notice(data["text"])
        if kind == "rubbish":
            return Refused(Rejected(Refusal.UNKNOWN_EVENT, symbol))
        if name not in self._followed:
            return None
        if kind == "rules":
            return Rules(name, SymbolRules(*data["rules"]))
        if kind == "trade":
            return Trade(name, data["ms"], data["id"], data["price"], data["quantity"], data["buy"], data["count"])
        bids, asks = ([(price, quantity) for price, quantity in data[side]] for side in ("bids", "asks"))
        if kind == "snapshot":
            return BookSnapshot(name, data["ms"], Depth(data["id"], bids, asks), data["sum"])
        return Diff(name, data["ms"], data["before"] + 1 if data["id"] else 0, data["id"], bids, asks, data["sum"])

    def proof(self, symbol: Instrument) -> BookProof:  # noqa: ARG002 - all alike
        return _Checksum()


class _Checksum:
    """Compares the book with the checksum of its newest update."""

    def load(self, snapshot: BookSnapshot) -> None:
        self._sum = snapshot.proof

    def apply(self, diff: Diff) -> None:
        self._sum = diff.proof

    def holds(self, book: OrderBook) -> bool:
        return checksum(*book.top(3)) == self._sum
