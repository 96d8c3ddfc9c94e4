"""Reads Redis for all open streams together, four times a second, and only while a stream is open."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager

from tickfence.monitoring import web_metrics
from tickfence.readers.data_plane import Unavailable
from tickfence.readers.reader import Reader
from tickfence.redis_access.outage import Outage
from tickfence.web.board import Board, Cursor
from tickfence.web.events import NEWEST, fetch_events
from tickfence.web.nodes import nodes_of
from tickfence.web.rates import Rates
from tickfence.web.sending import PIECE

logger = logging.getLogger(__name__)

PERIOD_S = 0.25
NODES_PERIOD_S = 0.5
_OUTAGE_PERIOD_S = 1.0
_AT_ONCE = 10
"""A client of several symbols is sent the reports of this many at a time. Up to 1,000 clients may not read what they are sent."""


class Full(Exception):
    """The maximum number of streams is open."""


class ClientFull(Full):
    """One client has the maximum number of streams open."""


class Feed:
    """The latest state for all clients of streams.

    Args:
        reader: Reads it.

    Example:
        >>> async for frames in feed.table():  # doctest: +SKIP
        ...     await send(frames)
    """

    def __init__(self, reader: Reader) -> None:
        self._reader, self._settings = reader, reader.settings
        self._board = Board(self._settings.nt_report_period_ms)  # a new one whenever reading starts
        self._places: Counter[str] = Counter()  # taken by each client
        self._watched: Counter[str | None] = Counter()  # streams of a symbol, and under None those of the table
        self._owners: dict[str, str] = {}
        self._table: tuple[str, ...] = self._settings.symbols
        self._last_event = ""
        self._nodes_due = 0.0
        self._rates = Rates(self._settings.nt_report_period_ms)
        self._readings_begun = self._readings_done = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    def rates(self) -> Mapping[str, float] | None:
        """Return the reports a second of each writer; ``None`` while no stream of all symbols is open."""
        return self._rates.by_node() if self._watched[None] else None

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """Take one of the ``NT_WEB_MAX_STREAMS`` places for ``client``.

        Raises:
            ClientFull: The client has ``NT_WEB_MAX_CLIENT_STREAMS``.
            Full: There is none left.
        """
        taken = self._places.total()
        if taken >= self._settings.nt_web_max_streams:
            raise Full(f"{taken} streams are open; NT_WEB_MAX_STREAMS allows no more")
        if self._places[client] >= self._settings.nt_web_max_client_streams:
            raise ClientFull(
                f"{self._places[client]} streams of this client are open; NT_WEB_MAX_CLIENT_STREAMS allows no more"
            )
        self._places[client] += 1
        web_metrics.streams.set(taken + 1)
        try:
            yield
        finally:
            self._places[client] -= 1
            self._places += Counter()  # drops those at 0
            web_metrics.streams.set(self._places.total())

    def table(self) -> AsyncIterator[bytes]:
        """Return the frames of ``/stream``."""
        return self._follow(None)

    def report(self, symbol: str) -> AsyncIterator[bytes]:
        """Return the frames of ``/stream/{symbol}``."""
        return self._follow(symbol)

    def reports(self, symbols: Sequence[str]) -> AsyncIterator[bytes]:
        """Return the frames of ``/stream/reports``."""
        return self._follow(*symbols)

    def end(self) -> None:
        """End all streams now."""
        self._ended = True
        self._announce()

    async def close(self) -> None:
        """Stop reading."""
        self.end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self, *symbols: str | None) -> AsyncIterator[bytes]:
        with self._watching(symbols):
            # A reading that has already begun may not include what this client wants. And not every wake-up is the end
            # of a reading: the task of clients that left announces its own end.
            first, wake = self._readings_begun + 1, self._wake
            parts = [(symbols[start : start + _AT_ONCE], Cursor()) for start in range(0, len(symbols), _AT_ONCE)]
            while True:
                await wake.wait()
                wake = self._wake  # before the frames are sent, so that no wake-up is missed
                if self._ended or self._task is None or self._task.done():
                    return  # a task that failed has logged why
                if self._readings_done < first:
                    continue
                for part, cursor in parts:
                    news = self._news(part, cursor)
                    for start in range(0, len(news), PIECE):
                        yield news[start : start + PIECE]
                    if self._board.is_lost:
                        break  # the client was told of the outage, and needs that only once

    def _news(self, symbols: Sequence[str | None], cursor: Cursor) -> bytes:
        named = [symbol for symbol in symbols if symbol is not None]
        return self._board.report_news(named, cursor) if named else self._board.table_news(cursor)

    @contextmanager
    def _watching(self, symbols: Sequence[str | None]) -> Iterator[None]:
        self._watched.update(symbols)
        if self._task is None or self._task.done():
            period_ms = self._settings.nt_report_period_ms
            self._board, self._rates = Board(period_ms), Rates(period_ms)
            self._last_event, self._nodes_due = "", 0.0
            self._task = asyncio.create_task(self._run(), name="feed")
        try:
            yield
        finally:
            self._watched.subtract(symbols)
            self._watched += Counter()  # drops those at 0
            if not self._watched and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _run(self) -> None:
        outage = Outage("the data plane", logger)
        away_since: float | None = None
        last_told = 0.0
        try:
            while True:
                started = time.monotonic()
                self._readings_begun = number = self._readings_begun + 1
                try:
                    await self._read(started)
                except Unavailable as error:
                    away_since = away_since or started
                    self._rates = Rates(self._settings.nt_report_period_ms)  # nobody saw what was written meanwhile
                    if started - last_told >= _OUTAGE_PERIOD_S:
                        last_told = started
                        self._board.lose(round((time.monotonic() - away_since) * 1000), str(error))
                    self._nodes_due = 0.0
                    wait = outage.failed(error)
                else:
                    outage.over()
                    away_since, last_told = None, 0.0
                    spent = time.monotonic() - started
                    wait = max(PERIOD_S - spent, spent)  # reading takes at most half of the time
                self._readings_done = number
                self._announce()
                await asyncio.sleep(wait)
        except Exception:
            logger.exception("the feed failed; its streams end")
            raise
        finally:
            asyncio.get_running_loop().call_soon(self._announce)  # after this task is done

    async def _read(self, started: float) -> None:
        """Read what is due, and put it on the board."""
        cluster = None
        if started >= self._nodes_due:
            cluster = await self._reader.cluster()
            self._nodes_due = started + NODES_PERIOD_S
            self._owners = {symbol: owner.node for symbol, owner in cluster.assignment.owners.items()}
            self._table = cluster.symbols(self._settings.symbols)
        _, events = await fetch_events(self._reader, self._last_event, NEWEST)
        table = self._table if self._watched[None] else ()
        symbols = tuple(dict.fromkeys((*table, *filter(None, self._watched))))
        now_ms, reports, idle = await self._reader.stored(symbols)
        # From here on nothing is awaited, so no client gets half of it.
        self._board.begin(now_ms)
        if self._board.put_table(table):
            self._rates = Rates(self._settings.nt_report_period_ms)
        self._rates.add(now_ms, self._board.put_reports(reports, self._owners, idle))
        self._board.put_events(events)
        if events:
            self._last_event = events[-1].id
        if cluster is not None:
            found = nodes_of(cluster, self._rates.by_node())
            self._board.put_nodes(found.nodes, found.leader, found.reports_per_sec)

    def _announce(self) -> None:
        """Wake the streams of all clients."""
        self._wake.set()
        self._wake = asyncio.Event()
