"""What waits for Redis, in order and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from tickfence.instrument import Instrument

ANEW = b""
"""As an entry's text, which no other entry has empty: the stream is to be deleted, what follows has nothing to do with what it holds."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One stream entry on its way; ``sequence`` is the trade id or the last update id.

    ``text`` is its id and fields, packed as in `streams.append`. ``is_book`` tells the two streams of a symbol apart.
    """

    symbol: Instrument
    is_book: bool
    time_ms: int
    sequence: int
    text: bytes


class Buffer:
    """A first-in-first-out of at most ``limit`` entries; the oldest are dropped beyond it."""

    def __init__(self, limit: int) -> None:
        self._entries: deque[Entry] = deque()
        self._limit = limit

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> Entry | None:
        """Append an entry; returns the one that had to go for it."""
        self._entries.append(entry)
        return self._entries.popleft() if len(self._entries) > self._limit else None

    def take(self, count: int) -> list[Entry]:
        """Take out the oldest ``count`` entries."""
        popleft = self._entries.popleft
        return [popleft() for _ in range(min(count, len(self._entries)))]

    def put_back(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return what was taken to the front; returns the oldest that had to go for it."""
        self._entries.extendleft(reversed(entries))
        return self.take(len(self._entries) - self._limit)
