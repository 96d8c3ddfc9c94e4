"""A share of one exchange's streams, without a break. Symbols come and go while the others' streams go on.

A connection that will end soon (the exchange announced it, or its lifetime is nearly over) is replaced before it does.
The next one is opened, and its messages are kept aside until both have delivered for long enough. Then the old one is
closed, and the messages kept aside are handed on. So around the change both deliver every update, each in its own
order. Copies are recognised later, by their ids.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

import aiohttp

from ingest.connection import URL_STREAMS, Connection, ConnectionEnded
from ingest.events import ControlReply
from ingest.pacing import Allowance
from ingest.silence import Silence
from ingest.venue import Venue
from tickfence.instrument import Instrument
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.redis_access.outage import Backoff

logger = logging.getLogger(__name__)

FIRST_RETRY_S = 0.25
MAXIMUM_RETRY_S = 30.0
STABLE_S = 10.0
"""After a connection that lived this long, the wait before the next is short again."""
OVERLAP_S = 1.5
"""How long both connections run: longer than the second between two tickers, which come least often."""
REPLACE_BEFORE_S = 600.0
KEEP_ASIDE = 200_000


class Feed:
    """Keeps one connection open for all streams of its symbols.

    Args:
        session: of aiohttp.
        venue: names its URL and its messages.
        base_url: of the exchange's WebSocket endpoint.
        symbols: symbols whose streams to receive at first.
        on_message: called with every message, once, or twice around a change of connections.
        on_open: called whenever a connection has sent all its subscriptions, also those of symbols that were added.
        on_lost: called when a connection has ended before the next one had everything.
        openings: how many connections may be opened.
        silence: of the address; no connection is opened while it lasts.
        silence_s: a connection that delivers nothing for this long is dead; by default the venue's figure.
        lifetime_s: how long the exchange keeps a connection; by default the venue's figure.

    Attributes:
        symbols: symbols whose streams are received now.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        venue: Venue,
        base_url: str,
        symbols: Sequence[Instrument],
        *,
        on_message: Callable[[Feed, bytes], None],
        on_open: Callable[[Feed], None],
        openings: Allowance,
        silence: Silence,
        on_lost: Callable[[Feed], None] = lambda _: None,
        silence_s: float | None = None,
        lifetime_s: float | None = None,
    ) -> None:
        self._venue = venue
        self.symbols: list[Instrument] = []
        self._streams = dict.fromkeys(venue.shared_streams, Instrument(""))
        self._connect = partial(
            Connection,
            session,
            venue,
            base_url,
            self._streams,
            on_message=self._receive,
            on_open=lambda _: on_open(self),
            silence=silence,
            silence_s=silence_s,
        )
        self._on_message = on_message
        self._on_lost = on_lost
        self._openings = openings
        self._silence = silence
        lifetime_s = venue.limits.connection_lifetime_s if lifetime_s is None else lifetime_s
        self._replace_after_s = max(lifetime_s - REPLACE_BEFORE_S, lifetime_s / 2)
        self._backoff = Backoff(base=FIRST_RETRY_S, cap=MAXIMUM_RETRY_S)
        self._in_url = URL_STREAMS
        self._active: Connection | None = None
        self._aside: deque[bytes] = deque(maxlen=KEEP_ASIDE)
        self._received_aside = asyncio.Event()
        self._replace = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], Connection] = {}
        self.add(symbols)

    def add(self, symbols: Iterable[Instrument]) -> None:
        """Receive these symbols' streams too."""
        for symbol in symbols:
            self.symbols.append(symbol)
            self._streams |= dict.fromkeys(self._venue.streams(symbol), symbol)
        self._change()

    def remove(self, symbols: Iterable[Instrument]) -> None:
        """Receive these symbols' streams no more. Some of their messages may still come."""
        for symbol in symbols:
            self.symbols.remove(symbol)
            for name in self._venue.streams(symbol):
                del self._streams[name]
        self._change()

    def on_reply(self, reply: ControlReply) -> Collection[Instrument]:
        """Take the exchange's answer to a subscription; return the symbols of which nothing more comes for a while."""
        return () if self._active is None else self._active.on_reply(reply)

    def renew_book(self, symbol: Instrument) -> None:
        """Subscribe to the symbol's order book again: a new snapshot comes."""
        if self._active is not None:
            self._active.renew(self._venue.book_stream(symbol))

    def _change(self) -> None:
        for connection in self._tasks.values():
            connection.change()

    def replace(self, reason: metrics.Reconnect) -> None:
        """Open the next connection now: this one will end soon."""
        if not self._replace.is_set():
            logger.info(
                "replacing the connection",
                extra={"venue": self._venue.name, "reason": reason, "streams": len(self._streams)},
            )
            metrics.ws_resubscribe.labels(self._venue.name, reason).inc()
            self._replace.set()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        connection, task = self._open()
        try:
            while True:
                self._active = connection
                await self._until_replaced(task)
                if task.done():
                    await self._pause(connection, task)
                    self._replace.clear()
                    connection, task = self._open()
                else:
                    connection, task = await self._hand_over(connection, task)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _open(self) -> tuple[Connection, asyncio.Task[None]]:
        connection = self._connect(in_url=self._in_url)
        task = asyncio.create_task(self._run(connection))
        self._tasks[task] = connection
        task.add_done_callback(lambda _: self._tasks.pop(task, None))
        return connection, task

    async def _run(self, connection: Connection) -> None:
        while True:
            wait_s = max(self._silence.left_s(), self._openings.wait_s(1))
            if wait_s <= 0:
                break
            await asyncio.sleep(wait_s)
        self._openings.spend(1)
        try:
            await connection.run()
        except ConnectionEnded as error:
            if error.url_refused:  # the answers to messages tell which symbol it is
                self._in_url = 0
            raise

    async def _until_replaced(self, task: asyncio.Task[None]) -> None:
        """Return when the connection has ended, or must be replaced: announced, or near the end of its lifetime."""
        announced = asyncio.create_task(self._replace.wait())
        timeout = self._replace_after_s * random.uniform(0.95, 1.0)
        try:
            await asyncio.wait({task, announced}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            announced.cancel()
        if not task.done():
            self.replace(metrics.Reconnect.LIFETIME)

    async def _pause(self, connection: Connection, task: asyncio.Task[None]) -> None:
        """Wait before the next connection, after ``connection`` has ended by itself."""
        lived = time.monotonic() - connection.opened_at if connection.opened_at is not None else 0.0
        if lived >= STABLE_S:
            self._backoff.reset()
        wait = max(self._backoff.next_s(), self._silence.left_s())
        logger.warning(
            "connection to the exchange ended",
            extra={
                "venue": self._venue.name,
                "reason": _why(task),
                "lived_s": round(lived, 3),
                "retry_s": round(wait, 3),
            },
        )
        metrics.ws_resubscribe.labels(self._venue.name, metrics.Reconnect.ENDED).inc()
        self._on_lost(self)
        await asyncio.sleep(wait)

    async def _hand_over(self, old: Connection, old_task: asyncio.Task[None]) -> tuple[Connection, asyncio.Task[None]]:
        """Open the next connection beside ``old``, and change over when both have delivered for a while."""
        backoff = Backoff(base=FIRST_RETRY_S, cap=MAXIMUM_RETRY_S)
        while True:
            self._aside.clear()
            self._received_aside.clear()
            new, new_task = self._open()
            overlapped = asyncio.create_task(self._overlapped(new))
            await asyncio.wait({old_task, new_task, overlapped}, return_when=asyncio.FIRST_COMPLETED)
            overlapped.cancel()
            if not new_task.done():
                break  # both have delivered, or the old one ended early; the new one has what came since it opened
            logger.warning("the next connection failed", extra={"venue": self._venue.name, "reason": _why(new_task)})
            await asyncio.wait({old_task}, timeout=backoff.next_s())
            if old_task.done():
                self._replace.clear()
                return old, old_task
        if old_task.done() or not self._venue.numbered:  # without numbers no copy can be told from an update
            self._on_lost(self)
        old_task.cancel()
        await asyncio.gather(old_task, return_exceptions=True)
        self._active = new
        self._replace.clear()
        for message in self._aside:
            self._on_message(self, message)
        self._aside.clear()
        return new, new_task

    async def _overlapped(self, new: Connection) -> None:
        await new.subscribed.wait()
        await asyncio.sleep(OVERLAP_S)
        await self._received_aside.wait()

    def _receive(self, connection: Connection, message: bytes) -> None:
        if connection is self._active:
            self._on_message(self, message)
        else:
            self._aside.append(message)
            self._received_aside.set()


def _why(task: asyncio.Task[None]) -> str:
    """Why a connection ended.

    Raises:
        BaseException: any error but `ConnectionEnded` is a defect.
    """
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    if error is not None and not isinstance(error, ConnectionEnded):
        raise error
    return str(error)
