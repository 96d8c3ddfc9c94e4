"""The port to an exchange: what ingest needs to know of it. The exchanges themselves are in `ingest.venues`.

A `Venue` does no I/O: it has names and limits, and decodes bytes into the events of `ingest.events`. Only its own file knows
its protocol, and how it writes its symbols. A `LibraryVenue` is read by a library that does its own I/O, and gives events.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from ingest.events import BookSnapshot, Depth, Diff, Event, ExchangeInfo, Trade
from tickfence.analytics.book import OrderBook
from tickfence.instrument import Instrument


class Limits(NamedTuple):
    """What the exchange allows one address.

    Attributes:
        streams_per_connection: how many streams one connection may carry.
        control_messages_per_s: how many messages that subscribe or unsubscribe may be sent on it.
        connection_lifetime_s: after this time the exchange ends a connection; infinite if it does not.
        connections: so many may be opened in so many seconds.
        request_weight: so much weight may REST requests have in so many seconds. Where only their number is limited, each
            has the weight 1.
        used_weight_header: header of an answer that tells the weight used so far; empty if there is none.
        symbols_per_info: how many symbols one request for the rules may name.
        trades_per_request: how many trades of the past one request may ask for; 0 if the exchange gives none.
        message_bytes: no message of the exchange is longer.
        control_messages_per_hour: as ``control_messages_per_s``.
    """

    streams_per_connection: int
    control_messages_per_s: float
    connection_lifetime_s: float
    connections: tuple[int, float]
    request_weight: tuple[int, float]
    used_weight_header: str = ""
    symbols_per_info: int = 1
    trades_per_request: int = 0
    message_bytes: int = 2**20
    control_messages_per_hour: float = math.inf


class KeepAlive(NamedTuple):
    """How a connection shows that it lives.

    Attributes:
        ping: text to send when nothing was heard for ``ping_after_s``; ``None`` if the exchange sends something by itself,
            as a ping is.
        ping_after_s: see there.
        silence_s: a connection on which nothing was heard for so long is dead.
    """

    ping: str | None
    ping_after_s: float
    silence_s: float


class Snapshots(Enum):
    """Where the order book comes from that the diffs change."""

    REST = "rest"
    """From an answer to `Venue.depth_request`."""
    STREAM = "stream"
    """From the book's stream: a new subscription begins with one."""


class Request(NamedTuple):
    """A GET request to the REST endpoint.

    Attributes:
        path: of the URL.
        query: parameters of the URL.
        weight: how much it uses of the weight that is allowed.
    """

    path: str
    query: dict[str, str]
    weight: int = 1


class BookProof(Protocol):
    """What shows that one symbol's order book is right, beyond ids that connect: a checksum.

    It sees every update that the book gets. What it needs of them, besides the levels, is in their ``proof``.
    """

    def load(self, snapshot: BookSnapshot) -> None:
        """Start from a snapshot."""

    def apply(self, diff: Diff) -> None:
        """Take in an update that follows."""

    def holds(self, book: OrderBook) -> bool:
        """Whether ``book``, at the newest update, is what the exchange says. Called if that update has a ``proof``."""


class Venue(ABC):
    """One exchange's protocol and limits.

    A module in `ingest.venues` has one class of this kind, which takes no arguments. The module's name is the venue's.

    Attributes:
        ws_url: the exchange's WebSocket endpoint, unless a setting names another.
        rest_url: the same for REST; empty if nothing is asked there.
        limits: what the exchange allows.
        keep_alive: how a connection shows that it lives.
        snapshots: where an order book comes from.
        numbered: whether updates carry the exchange's own numbers, the same on every connection. If not, leave the ids of
            diffs and snapshots 0: ingest numbers them.
        book_levels: of snapshots by stream: the exchange tells every change of so many best levels a side, and of no
            others; ``None`` if it tells of all levels.
        names_in_url: whether `url` names streams, so that they need no message.
        shared_streams: streams that every connection carries once, such as one with the rules of all symbols.
    """

    ws_url: str
    rest_url: str = ""
    limits: Limits
    keep_alive: KeepAlive
    snapshots: Snapshots
    numbered: bool
    book_levels: int | None = None
    names_in_url: bool = False
    shared_streams: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The venue's name, which is its module's."""
        return type(self).__module__.split(".")[2]

    @abstractmethod
    def follow(self, symbols: Collection[Instrument]) -> None:
        """Decode the messages of exactly these symbols from now on. Those of a symbol that is left out are `Unfollowed`."""

    @abstractmethod
    def streams(self, symbol: Instrument) -> list[str]:
        """Names of the streams that carry one symbol's data. Nothing else looks into them.

        Trades come first: diffs that connect then prove that no trade is missing.
        """

    @abstractmethod
    def book_stream(self, symbol: Instrument) -> str:
        """The one of `streams` that carries the order book."""

    def url(self, base: str, streams: Sequence[str]) -> str:  # noqa: ARG002 - a venue may name them
        """URL of a connection that carries ``streams``, if the venue has `names_in_url`."""
        return base

    @abstractmethod
    def requests(self, add: bool, streams: Sequence[str], first_id: int) -> list[tuple[str, Sequence[str]]]:
        """The control messages that add ``streams`` to a connection, or take them from it.

        Args:
            add: whether to add them.
            streams: whole symbols, or the book streams of some, or shared streams.
            first_id: number of the first message, if messages have numbers; each further one has the next.

        Returns:
            Each message, with the streams that it is about.
        """

    @abstractmethod
    def decode(self, message: bytes) -> Sequence[Event]:
        """Decode one message. One that tells nothing, as an answer to a ping, has no events.

        Of a message of several parts, each that must not be used is a `Refused` event; the others count.

        Raises:
            ingest.events.Rejected: it must not be used.
            ingest.events.Unfollowed: it is of a symbol that is not followed any more.
        """

    def proof(self, symbol: Instrument) -> BookProof | None:  # noqa: ARG002 - most have none
        """A new proof of a symbol's book; ``None`` if its ids are all there is, or the connection alone."""
        return None

    def depth_request(self, symbol: Instrument) -> Request:
        """The request for the whole order book of a symbol, if snapshots come by REST."""
        raise NotImplementedError

    def decode_depth(self, body: bytes) -> Depth:
        """Decode the answer to `depth_request`.

        Raises:
            ingest.events.Rejected: it must not be used.
        """
        raise NotImplementedError

    def trades_request(self, symbol: Instrument, first_id: int, count: int) -> Request:
        """The request for single trades of the past: ``count`` of them from ``first_id`` on, if the exchange gives any."""
        raise NotImplementedError

    def decode_trades(self, symbol: Instrument, body: bytes) -> list[Trade]:
        """Decode the answer to `trades_request`, in the order of the ids.

        Raises:
            ingest.events.Rejected: it must not be used.
        """
        raise NotImplementedError

    def info_request(self, symbols: Sequence[Instrument]) -> Request | None:  # noqa: ARG002
        """The request for the rules of these symbols, `Limits.symbols_per_info` at most; ``None`` if they come by stream."""
        return None

    def decode_info(self, body: bytes) -> ExchangeInfo:
        """Decode the answer to `info_request`.

        Raises:
            ingest.events.Rejected: it must not be used.
        """
        raise NotImplementedError

    def refuses_symbol(self, status: int, body: bytes) -> bool:  # noqa: ARG002
        """Whether this answer, of a status other than 200, refuses the symbol that was asked for.

        Another server on the way may answer with the same status. An answer 200 that says so is no matter for this: its
        decoder leaves the symbol out.
        """
        return False


class Sink(Protocol):
    """Takes what a library has read."""

    def on_events(self, events: Sequence[Event]) -> None:
        """Take events in their order."""

    def on_trades_lost(self, symbols: Iterable[Instrument]) -> None:
        """Note that trades of these symbols may have been missed."""

    def on_books_lost(self, symbols: Iterable[Instrument]) -> None:
        """Note that updates of these order books may have been missed. They are lost until their next snapshots."""


class LibraryVenue(ABC):
    """Exchanges that a library reads: it connects and subscribes by itself.

    A module in `ingest.venues` has one class of this kind, or of the kind `Venue`. It takes no arguments. Its updates have no
    numbers, so the ids of diffs and snapshots are 0. Trades have the exchange's numbers only if each is one higher than the
    one before; otherwise their ids are 0, too.
    """

    @property
    def name(self) -> str:
        """The venue's name, which is its module's."""
        return type(self).__module__.split(".")[2]

    @property
    def numbered(self) -> bool:
        """Whether updates carry the exchange's own numbers."""
        return False

    @abstractmethod
    async def run(self, sink: Sink, urls: Mapping[str, str], now_ms: Callable[[], int]) -> None:
        """Read the symbols that are followed until cancelled.

        Args:
            sink: gets what is read.
            urls: replace the exchanges' own, by the name that the setting has after the venue's.
            now_ms: the Redis server's time.
        """

    @abstractmethod
    def follow(self, symbols: Collection[Instrument]) -> None:
        """Read exactly these symbols from now on. Call it before `run`, and whenever they change."""

    @abstractmethod
    def renew_book(self, symbol: Instrument, *, lost: bool) -> None:
        """Give a snapshot of the symbol's book.

        Args:
            symbol: whose.
            lost: whether the book is wrong. Otherwise the market has left the part of it that is known.
        """
