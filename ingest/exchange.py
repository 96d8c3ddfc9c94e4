"""What ingest needs to know of an exchange; `ingest.binance` is the one it knows.

A new exchange is one new file with a class of this shape. Everything in it is pure: names,
limits, and decoding from bytes to the events of `ingest.events`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ingest.events import Depth, Event, ExchangeInfo
from tickfence.instrument import Instrument


class Request(NamedTuple):
    """A GET on the REST endpoint, and what it costs of the weight allowed a minute."""

    path: str
    query: dict[str, str]
    weight: int


class Exchange(Protocol):
    """One exchange's dialect and limits."""

    streams_per_connection: int
    control_messages_per_s: float
    connection_lifetime_s: float
    connections_per_5_min: int
    weight_per_minute: int
    used_weight_header: str

    def streams(self, symbol: Instrument) -> list[str]:
        """Names of the streams that carry all of one symbol."""

    def url(self, base: str, streams: Sequence[str]) -> str:
        """Address of a connection that carries ``streams``."""

    def subscribe(self, streams: Sequence[str], request_id: int) -> str:
        """The message that adds ``streams`` to a connection."""

    def decode(self, message: bytes) -> Event:
        """One message as an event.

        :raises ingest.events.Rejected: it must not be used.
        """

    def depth_request(self, symbol: Instrument) -> Request:
        """How to ask for the whole order book of a symbol."""

    def decode_depth(self, body: bytes) -> Depth:
        """The answer to `depth_request`.

        :raises ingest.events.Rejected: it must not be used.
        """

    def info_request(self) -> Request:
        """How to ask for what the exchange lists."""

    def decode_info(self, body: bytes) -> ExchangeInfo:
        """The answer to `info_request`.

        :raises ingest.events.Rejected: it must not be used.
        """
