"""Replays a recording to all who are subscribed, and knows the books as far as they were sent.

The replay starts when a client is subscribed to a stream of the recording and no subscription was added for half a second.
Each stream then begins with its recorded snapshot. A client that subscribes later gets the book as of the last message
sent. At the end of the recording nothing more comes but heartbeats.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import Protocol

from tools.simulator.captured.dialect import Book, Dialect, Recorded

SETTLED_S = 0.5
HEARTBEAT_S = 1.0


class Subscriber(Protocol):
    """A connection, as the replay sees it."""

    streams: dict[str, None]

    async def send(self, message: bytes) -> None:
        """Send one message; wait while the client reads too slowly."""


class Replay:
    """One recording.

    Args:
        dialect: the recording.
        speed: of the replay; infinite: as fast as clients read.

    Attributes:
        subscribers: the open connections.
        wrong_checksums: how many of the next updates of a symbol's book get a wrong sum.
        skipped: how many of the next updates of a symbol's book are not sent.
        sent: messages so far.
        finished: whether every message was sent.
        books: of each stream of a book, as far as it was sent.
    """

    def __init__(self, dialect: Dialect, speed: float) -> None:
        self.subscribers: list[Subscriber] = []
        self.wrong_checksums: dict[str, int] = {}
        self.skipped: dict[str, int] = {}
        self.sent = 0
        self.finished = False
        self._dialect = dialect
        self._speed = speed
        self.books: dict[str, Book] = {}
        self._subscribed = asyncio.Event()

    def begin(self, stream: str) -> list[bytes]:
        """What a stream begins with for a client that subscribes now."""
        self._subscribed.set()
        _, colon, symbol = stream.partition(":")
        if not colon:
            return self._dialect.shared(stream)
        book = self.books.get(stream)
        snapshot = b"" if book is None else self._dialect.snapshot(symbol, book)
        return [snapshot] if snapshot else []

    async def run(self) -> None:
        """Replay once, with heartbeats until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heartbeats())
            await self._wait_for_subscribers()
            loop = asyncio.get_running_loop()
            started: float | None = None
            for message in self._dialect.messages:
                if started is None:
                    started = loop.time() - message.time / self._speed
                if self._speed < math.inf:
                    await asyncio.sleep(max(0.0, started + message.time / self._speed - loop.time()))
                elif self.sent % 100 == 0:
                    await asyncio.sleep(0)
                await self.send(message)
            self.finished = True

    async def send(self, message: Recorded) -> None:
        """Send the next message of the recording."""
        self.sent += 1
        if message.bids is not None:
            self.books.setdefault(message.stream, Book(self._dialect.depth)).take(message)
            symbol = message.stream.partition(":")[2]
            if not message.whole and _take_one(self.skipped, symbol):
                return
        payload = self._dialect.at_sending(message)
        if not payload:
            return
        if message.bids is not None and not message.whole and _take_one(self.wrong_checksums, symbol):
            payload = self._dialect.with_wrong_checksum(payload)
        await self.tell([payload], [one for one in self.subscribers if message.stream in one.streams])

    async def tell(self, messages: Iterable[bytes], to: Iterable[Subscriber]) -> None:
        """Send messages to some connections."""
        for subscriber in list(to):
            for message in messages:
                await subscriber.send(message)

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            for subscriber in list(self.subscribers):
                await self.tell(self._dialect.heartbeats(subscriber.streams), [subscriber])

    async def _wait_for_subscribers(self) -> None:
        await self._subscribed.wait()
        while self._subscribed.is_set():
            self._subscribed.clear()
            await asyncio.sleep(SETTLED_S)


def _take_one(counts: dict[str, int], symbol: str) -> bool:
    left = counts.get(symbol, 0)
    if left:
        counts[symbol] = left - 1
    return left > 0
