"""Stream entries that wait for Redis, in order and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from ingest.stream_state import StreamState
from tickfence.instrument import Instrument

DELETE = b""
"""As an entry's text: delete the stream. What follows is numbered from the start again. No other text is empty."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One stream entry on its way to Redis.

    Attributes:
        symbol: the instrument.
        is_book: whether it is a diff for the book stream, or a trade for the trades stream.
        state: the ids of its stream.
        time_ms: first part of its id.
        sequence: second part of its id: the trade id, or the last update id.
        text: id and fields, packed as in `tickfence.streams.append`; or `DELETE`.
        token: of the lease that it is written under; 0 if every process may write it.
    """

    symbol: Instrument
    is_book: bool
    state: StreamState
    time_ms: int
    sequence: int
    text: bytes
    token: int = 0


class Buffer:
    """A queue (first in, first out) of at most ``limit`` entries. Beyond that it drops the oldest."""

    def __init__(self, limit: int) -> None:
        self._entries: deque[Entry] = deque()
        self._limit = limit

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> Entry | None:
        """Append an entry; return the one that is dropped for it, if any."""
        self._entries.append(entry)
        return self._entries.popleft() if len(self._entries) > self._limit else None

    def take(self, count: int) -> list[Entry]:
        """Take out the oldest ``count`` entries."""
        if count >= len(self._entries):
            taken, self._entries = list(self._entries), deque()
            return taken
        popleft = self._entries.popleft
        return [popleft() for _ in range(count)]

    def remove(self, symbol: Instrument) -> None:
        """Drop all entries of a symbol."""
        self._entries = deque(entry for entry in self._entries if entry.symbol != symbol)

    def put_back(self, entries: Sequence[Entry]) -> list[Entry]:
        """Put entries that were taken out back to the front; return the oldest ones, which are dropped for them."""
        self._entries.extendleft(reversed(entries))
        return self.take(len(self._entries) - self._limit)
