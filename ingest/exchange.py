"""What ingest needs to know of an exchange. `ingest.binance` is the only one so far.

A new exchange is one new file with a class of this shape. It does no I/O: it has names and limits, and decodes bytes
into the events of `ingest.events`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from ingest.events import Depth, Event, ExchangeInfo, Trade
from tickfence.instrument import Instrument


class Request(NamedTuple):
    """A GET request to the REST endpoint.

    Attributes:
        path: of the URL.
        query: parameters of the URL.
        weight: how much it uses of the weight that is allowed in a minute.
    """

    path: str
    query: dict[str, str]
    weight: int


class Exchange(Protocol):
    """One exchange's protocol and limits."""

    streams_per_connection: int
    control_messages_per_s: float
    connection_lifetime_s: float
    connections_per_5_min: int
    weight_per_minute: int
    used_weight_header: str
    symbols_per_info: int

    def follow(self, symbols: Collection[Instrument]) -> None:
        """Decode the messages of exactly these symbols from now on. Those of a symbol that is left out are `Unfollowed`."""

    def streams(self, symbol: Instrument) -> list[str]:
        """Names of the streams that carry one symbol's data."""

    def url(self, base: str, streams: Sequence[str]) -> str:
        """URL of a connection that carries ``streams``."""

    def subscribe(self, streams: Sequence[str], request_id: int) -> str:
        """The message that adds ``streams`` to a connection."""

    def unsubscribe(self, streams: Sequence[str], request_id: int) -> str:
        """The message that takes ``streams`` from a connection."""

    def decode(self, message: bytes) -> Event:
        """Decode one message.

        Raises:
            ingest.events.Rejected: it must not be used.
            ingest.events.Unfollowed: it is of a symbol that is not followed any more.
        """

    def depth_request(self, symbol: Instrument) -> Request:
        """The request for the whole order book of a symbol."""

    def decode_depth(self, body: bytes) -> Depth:
        """Decode the answer to `depth_request`.

        Raises:
            ingest.events.Rejected: it must not be used.
        """

    def trades_request(self, symbol: Instrument, first_id: int, count: int) -> Request:
        """The request for single trades of the past: ``count`` of them from ``first_id`` on."""

    def decode_trades(self, symbol: Instrument, body: bytes) -> list[Trade]:
        """Decode the answer to `trades_request`, in the order of the ids.

        Raises:
            ingest.events.Rejected: it must not be used.
        """

    def refuses_symbol(self, body: bytes) -> bool:
        """Whether an answer 400 refuses the symbol that was asked for. Another server on the way may answer 400, too."""

    def info_request(self, symbols: Sequence[Instrument]) -> Request:
        """The request for the rules of these symbols, `symbols_per_info` at most."""

    def decode_info(self, body: bytes) -> ExchangeInfo:
        """Decode the answer to `info_request`.

        Raises:
            ingest.events.Rejected: it must not be used.
        """
