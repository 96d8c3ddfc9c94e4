"""Faults of OKX's dialect alone; the others are in tools.simulator.faults.

===========  ==================================  ====================================================================
name         parameters                          what happens
===========  ==================================  ====================================================================
checksum     ``symbol``, ``count`` (1)           the symbol's next updates have a wrong checksum
reset        ``symbol``                          its sequence ids start again with the next update
heartbeat    ``symbol``                          a message that says that nothing has changed
refuse       ``symbol``, ``code`` ("60018")      its subscriptions are refused from now on; code "" accepts them
connections  ``channel``                         channel-conn-count-error: each connection loses the channel
===========  ==================================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tools.simulator.hub import Channel, Hub
from tools.simulator.okx import PREFIX, wire
from tools.simulator.okx.connection import OkxConnection
from tools.simulator.okx.rubbish import RUBBISH, Scene
from tools.simulator.okx.source import Source, channel

CONNECTIONS_ALLOWED = 30


class Checksum(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `checksum`."""

    symbol: str
    count: int = 1


class Reset(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `reset`."""

    symbol: str


class Heartbeat(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `heartbeat`."""

    symbol: str


class Refuse(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `refuse`."""

    symbol: str
    code: str = wire.DOES_NOT_EXIST


class Connections(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of `connections`."""

    channel: str = wire.BOOKS


class OkxFaults:
    """The faults of one server's OKX instruments.

    Args:
        sources: the instruments, by name.
        hub: their channels.
        refusals: as that of `Endpoints`.
    """

    def __init__(self, sources: Mapping[str, Source], hub: Hub, refusals: dict[str, str]) -> None:
        self._sources = sources
        self._hub = hub
        self._refusals = refusals

    def knows(self, symbol: str) -> bool:
        """Whether a symbol is one of these instruments."""
        return symbol.removeprefix(PREFIX) in self._sources and symbol.startswith(PREFIX)

    def books(self, symbol: str) -> Channel:
        """The channel of an instrument's book."""
        return self._hub.channel(channel(wire.BOOKS, symbol.removeprefix(PREFIX)))

    def checksum(self, given: Checksum) -> int:
        """Lets updates have a wrong checksum."""
        books = self.books(given.symbol)
        books.filter = _WrongChecksum(books, given.count)
        return len(books.subscribers)

    def reset(self, given: Reset) -> int:
        """Lets the sequence ids start again."""
        self._source(given.symbol).restart_ids()
        return len(self.books(given.symbol).subscribers)

    def heartbeat(self, given: Heartbeat) -> int:
        """Says that nothing has changed."""
        books = self.books(given.symbol)
        books.publish(self._source(given.symbol).heartbeat())
        self._hub.flush()
        return len(books.subscribers)

    def refuse(self, given: Refuse) -> int:
        """Refuses subscriptions, or accepts them again."""
        name = given.symbol.removeprefix(PREFIX)
        self._refusals.pop(name, None)
        if given.code:
            self._refusals[name] = given.code
        return 1

    def connections(self, given: Connections) -> int:
        """Ends all subscriptions to a channel."""
        ended = [one for one in self._hub.connections if isinstance(one, OkxConnection)]
        for connection in ended:
            connection.end_channel(given.channel, CONNECTIONS_ALLOWED)
        return len(ended)

    def rubbish(self, kind: str, symbol: str) -> bytes:
        """A malformed message for the subscribers of the symbol's book."""
        source = self._source(symbol)
        made = RUBBISH[kind]
        previous, seq_id = source.spend_seq_id() if made.connects else (1, 2)
        name = symbol.removeprefix(PREFIX)
        return made.make(Scene(name, previous, seq_id, *source.quote()))

    def _source(self, symbol: str) -> Source:
        return self._sources[symbol.removeprefix(PREFIX)]


class _WrongChecksum:
    """A channel filter that changes the checksum of `count` messages and then removes itself."""

    def __init__(self, books: Channel, count: int) -> None:
        self._channel = books
        self._left = count

    def __call__(self, payload: bytes) -> bytes:
        self._left -= 1
        if self._left <= 0:
            self._channel.filter = None
        message: dict[str, Any] = msgspec.json.decode(payload)
        message["data"][0]["checksum"] ^= 0x55
        return wire.encode(message)


FAULTS: dict[str, tuple[type[Any], Callable[[OkxFaults, Any], int]]] = {
    "checksum": (Checksum, OkxFaults.checksum),
    "reset": (Reset, OkxFaults.reset),
    "heartbeat": (Heartbeat, OkxFaults.heartbeat),
    "refuse": (Refuse, OkxFaults.refuse),
    "connections": (Connections, OkxFaults.connections),
}
