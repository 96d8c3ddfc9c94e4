"""All streams of one exchange, over as few connections as it allows."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Sequence

from ingest.feed import Feed
from ingest.venue import Venue
from tickfence.instrument import Instrument

SYMBOLS_PER_CONNECTION = 300


class Feeds:
    """The feeds of the symbols that are followed.

    A symbol that is added goes to the open connection that has most room, or to a new one if none has any. No symbol ever
    moves to another connection: so adding and removing some costs the others nothing.

    Args:
        venue: how many streams a connection may carry.
        make: makes a feed of some symbols.
    """

    def __init__(self, venue: Venue, make: Callable[[Sequence[Instrument]], Feed]) -> None:
        self._venue = venue
        self._make = make
        self._feeds: dict[Feed, asyncio.Task[None] | None] = {}
        self._group: asyncio.TaskGroup | None = None

    def __len__(self) -> int:
        return len(self._feeds)

    async def run(self) -> None:
        """Receive until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for feed in self._feeds:
                self._start(feed)
            await asyncio.Event().wait()

    def add(self, symbols: Collection[Instrument]) -> None:
        """Receive these symbols too."""
        for feed, share in self._shares(symbols):
            if feed is not None:
                feed.add(share)
                continue
            new = self._make(share)
            self._feeds[new] = None
            if self._group is not None:
                self._start(new)

    def remove(self, symbols: Collection[Instrument]) -> None:
        """Receive these symbols no more; a connection without any other is closed."""
        for feed in list(self._feeds):
            feed.remove([symbol for symbol in feed.symbols if symbol in symbols])
            if not feed.symbols:
                task = self._feeds.pop(feed)
                if task is not None:
                    task.cancel()

    def renew_book(self, symbol: Instrument) -> None:
        """Subscribe to one symbol's order book again, on its connection."""
        for feed in self._feeds:
            if symbol in feed.symbols:
                feed.renew_book(symbol)

    def _start(self, feed: Feed) -> None:
        assert self._group is not None
        self._feeds[feed] = self._group.create_task(feed.run())

    def _shares(self, symbols: Collection[Instrument]) -> list[tuple[Feed | None, list[Instrument]]]:
        """Which of ``symbols`` each feed gets; ``None`` stands for a feed to be made."""
        if not symbols:
            return []
        a_symbol = max(len(self._venue.streams(symbol)) for symbol in symbols)
        room = self._venue.limits.streams_per_connection - len(self._venue.shared_streams)
        maximum = max(min(SYMBOLS_PER_CONNECTION, room // a_symbol), 1)
        shares: list[tuple[Feed | None, list[Instrument]]] = [(feed, []) for feed in self._feeds]
        carried = [len(feed.symbols) for feed in self._feeds]
        needed = math.ceil((sum(carried) + len(symbols)) / maximum)
        for _ in range(needed - len(shares)):
            shares.append((None, []))
            carried.append(0)
        for symbol in symbols:
            number = carried.index(min(carried))
            carried[number] += 1
            shares[number][1].append(symbol)
        return [(feed, share) for feed, share in shares if share]
