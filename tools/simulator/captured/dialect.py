"""What the replay needs of a dialect, and of a recording in it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from tools.simulator.capture import BadCapture

Levels = list[tuple[str, str]]
"""Price and quantity, as the exchange writes them."""


class Recorded(NamedTuple):
    """One message of a stream.

    Attributes:
        time: when it was received, Unix time in seconds.
        stream: `channel:symbol`, which clients subscribe to.
        payload: the message, in the dialect that is served.
        bids: levels of the book that it sets; quantity zero removes one. None of a message that is not of a book.
        asks: the same.
        whole: whether the levels are the whole book.
    """

    time: float
    stream: str
    payload: bytes
    bids: Levels | None = None
    asks: Levels | None = None
    whole: bool = False


class Request(NamedTuple):
    """What a client asks for: to add or to take away some streams.

    Attributes:
        add: whether to add them.
        streams: their names; one that is not of a symbol has no colon.
        request_id: the client's number of it.
    """

    add: bool
    streams: list[str]
    request_id: int | None = None


class BadRequest(ValueError):
    """A request that the exchange does not understand; its text is the answer."""


class Book:
    """The text of one symbol's levels, as far as it was sent.

    Attributes:
        bids: price to quantity.
        asks: the same.
        time: of the newest message, Unix time in seconds.
    """

    def __init__(self, depth: int | None) -> None:
        self.time = 0.0
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self._depth = depth

    def take(self, message: Recorded) -> None:
        """Apply a message of the book."""
        self.time = message.time
        if message.whole:
            self.bids, self.asks = {}, {}
        for side, changes in ((self.bids, message.bids), (self.asks, message.asks)):
            for price, quantity in changes or ():
                if float(quantity):
                    side[price] = quantity
                else:
                    side.pop(price, None)
        depth = self._depth
        if depth is not None and len(self.bids) > depth:
            self.bids = dict(self.best_bids(depth))
        if depth is not None and len(self.asks) > depth:
            self.asks = dict(self.best_asks(depth))

    def best_bids(self, count: int | None = None) -> Levels:
        """From the highest price down."""
        return sorted(self.bids.items(), key=lambda level: -float(level[0]))[:count]

    def best_asks(self, count: int | None = None) -> Levels:
        """From the lowest price up."""
        return sorted(self.asks.items(), key=lambda level: float(level[0]))[:count]


class Dialect(ABC):
    """One exchange's messages, and a recording of them.

    Attributes:
        name: of the exchange.
        path: of the WebSocket's URL.
        messages: the recording, in order. It may have no end.
        symbols: what is listed.
        depth: levels a side of the books that are served; None: all.
    """

    name: str
    path: str
    messages: Iterable[Recorded]
    symbols: Collection[str]
    depth: int | None = None

    @abstractmethod
    def __init__(self, stem: str) -> None:
        """Read `STEM.ws` and `STEM.http`.

        Raises:
            BadCapture: a file cannot be read, or a line is malformed.
        """

    @abstractmethod
    def parse(self, text: str) -> Request | bytes:
        """A client's message; bytes: the answer to one that asks for no stream.

        Raises:
            BadRequest: it is none that the exchange understands.
        """

    @abstractmethod
    def answers(
        self, request: Request, refused: Mapping[str, str], subscribed: Collection[str]
    ) -> tuple[list[str], list[bytes]]:
        """The streams that a request is granted, and the answers to it.

        Args:
            request: what is asked for.
            refused: why, of symbols whose subscriptions are refused.
            subscribed: the streams that the connection has already.
        """

    @abstractmethod
    def snapshot(self, symbol: str, book: Book) -> bytes:
        """The message with a whole book, for a client that subscribes late; empty if books do not come by stream."""

    @abstractmethod
    def shared(self, stream: str) -> list[bytes]:
        """What a stream that is not of a symbol begins with."""

    @abstractmethod
    def heartbeats(self, streams: Collection[str]) -> list[bytes]:
        """What comes each second."""

    def greeting(self) -> list[bytes]:
        """What a new connection begins with."""
        return []

    def status(self, text: str) -> list[bytes]:  # noqa: ARG002 - not every exchange has one
        """What tells that the trading engine is in another state now."""
        return []

    def at_sending(self, message: Recorded) -> bytes:
        """What is sent of a message now; nothing of one that a client has to ask for."""
        return message.payload

    def with_wrong_checksum(self, payload: bytes) -> bytes:
        """An update of a book whose sum is wrong, if it has one."""
        return payload

    def routes(self, books: Mapping[str, Book]) -> list[web.RouteDef]:  # noqa: ARG002 - most do not need them
        """REST.

        Args:
            books: the books as far as they were sent, by stream.
        """
        return []


def lines(path: Path) -> Iterator[tuple[float, bytes]]:
    """The lines `<unix time>: <message>` of a recording.

    Raises:
        BadCapture: it cannot be read, or a line is none.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadCapture(f"{path}: cannot be read: {error.strerror}") from None
    for number, line in enumerate(text.splitlines(), 1):
        when, colon, message = line.partition(b": ")
        try:
            yield float(when), message
        except ValueError:
            shown = line[:60].decode(errors="replace")
            raise BadCapture(f"{path}:{number}: must be '<unix time>: <json>', not {shown!r}") from None
        if not colon:
            raise BadCapture(f"{path}:{number}: must be '<unix time>: <json>', not {line[:60]!r}")


def answer_of(path: Path) -> Any:
    """The JSON of the first answer in a file of lines `<url> -> <unix time>: <json>`.

    Raises:
        BadCapture: it cannot be read.
    """
    try:
        return json.loads(path.read_text().split(" -> ", 1)[1].split(": ", 1)[1])
    except (OSError, IndexError, ValueError) as error:
        raise BadCapture(f"{path}: cannot be read: {error}") from None
