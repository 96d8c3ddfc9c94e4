"""What is recorded: the streams and values of a symbol, and the timeline's events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.recordings.kinds import Kind
from tickfence.redis_access.command import Command
from tickfence.streams.codec import INFO_FIELDS, TICKER_FIELDS

EVENTS = "events"
"""Name of the source of events. No instrument is called that."""

LOOKED_AT = 64
"""Bytes that show whether a large value has changed: its update ids stand at its start."""


class Value(NamedTuple):
    """A value that is looked at, and recorded when it has changed.

    Attributes:
        read: the command that reads it.
        look: one that reads enough of it to see whether it has changed; ``None`` where it is small.
    """

    read: Command
    look: Command | None = None


@dataclass(frozen=True)
class Source:
    """What one recorder at a time records.

    Attributes:
        name: of the symbol, or :data:`EVENTS`.
        key: of the hash with its lease; see ``lua/acquire.lua``.
        streams: kind -> key of a stream; those of one mapping share a slot.
        values: kind -> value.
    """

    name: str
    key: str
    streams: tuple[Mapping[str, str], ...]
    values: Mapping[str, Value] = field(default_factory=dict)


def symbol_source(keys: Keys, symbol: Instrument) -> Source:
    """All that is recorded of a symbol."""
    snapshot, carry = keys.snapshot(symbol), keys.carry(symbol)
    return Source(
        symbol,
        keys.recording(symbol),
        (
            {Kind.TRADES: keys.trades(symbol), Kind.DIFFS: keys.book(symbol)},
            {Kind.HISTORY: keys.history(symbol), Kind.BASES: keys.basis(symbol)},
        ),
        {
            Kind.SNAPSHOTS: Value(("GET", snapshot), ("GETRANGE", snapshot, 0, LOOKED_AT - 1)),
            Kind.TICKERS: Value(("HMGET", keys.ticker(symbol), *TICKER_FIELDS)),
            Kind.INFOS: Value(("HMGET", keys.info(symbol), *INFO_FIELDS)),
            Kind.CARRIES: Value(("GET", carry), ("GETRANGE", carry, 0, LOOKED_AT - 1)),
            Kind.SECTIONS: Value(("GET", keys.slow(symbol))),
        },
    )


def events_source(keys: Keys) -> Source:
    """The timeline's events."""
    return Source(EVENTS, keys.events_recording, ({Kind.EVENTS: keys.events},))


def source(keys: Keys, name: str) -> Source:
    """The source of that name."""
    return events_source(keys) if name == EVENTS else symbol_source(keys, Instrument(name))
