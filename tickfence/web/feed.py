"""Reads Redis for all open streams together, a few times a second, and only while there are any."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from tickfence.redis_access.outage import Outage
from tickfence.settings import Settings
from tickfence.web.board import Board, Seen
from tickfence.web.data_plane import DataPlane, Unavailable
from tickfence.web.directory import known_symbols, read_directory
from tickfence.web.events import NEWEST, read_events
from tickfence.web.rates import Rates
from tickfence.web.reports import read_reports
from tickfence.web.sending import PIECE

logger = logging.getLogger(__name__)

PERIOD_S = 0.25
NODES_EVERY_S = 0.5
_SAY_AWAY_EVERY_S = 1.0


class Full(Exception):
    """As many streams are open as are allowed."""


class Feed:
    """The state of everything, kept up to date for whoever watches.

    Example:
        >>> async for frames in feed.table():  # doctest: +SKIP
        ...     await send(frames)
    """

    def __init__(self, plane: DataPlane, settings: Settings) -> None:
        self._plane, self._settings = plane, settings
        self._board = Board(settings.nt_report_period_ms)  # a new one each time that the reading begins
        self._places = 0
        self._tables = 0
        self._watched: Counter[str] = Counter()
        self._owners: dict[str, str] = {}
        self._table: tuple[str, ...] = settings.symbols
        self._last_event = ""
        self._nodes_due = 0.0
        self._rates = Rates()
        self._looks_begun = self._looks_done = 0
        self._turn = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    def rate(self, node: str) -> float | None:
        """Reports a second of ``node``, over the last seconds; None while no stream of all symbols is open."""
        return self._rates.of(node) if self._tables else None

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the streams that may be open at the same time.

        Raises:
            Full: there is none left.
        """
        if self._places >= self._settings.nt_web_max_streams:
            raise Full(f"{self._places} streams are open, and NT_WEB_MAX_STREAMS allows no more")
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1

    def table(self) -> AsyncIterator[bytes]:
        """Frames of ``/stream``."""
        return self._follow(None)

    def report(self, symbol: str) -> AsyncIterator[bytes]:
        """Frames of ``/stream/{symbol}``."""
        return self._follow(symbol)

    def end(self) -> None:
        """End all streams, now."""
        self._ended = True
        self._announce()

    async def close(self) -> None:
        """Stop reading."""
        self.end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self, symbol: str | None) -> AsyncIterator[bytes]:
        with self._watching(symbol):
            # A look that has begun may not read what this watcher wants. Nor is each turn the end of a look: the
            # reading for watchers who left announces its own end.
            seen, first, turn = Seen(), self._looks_begun + 1, self._turn
            while True:
                await turn.wait()
                turn = self._turn  # now, and not after the frames are sent: no turn is missed
                if self._ended or self._task is None or self._task.done():
                    return  # where it failed, it has said so
                if self._looks_done >= first:
                    news = self._news(symbol, seen)
                    for start in range(0, len(news), PIECE):
                        yield news[start : start + PIECE]

    def _news(self, symbol: str | None, seen: Seen) -> bytes:
        return self._board.table_news(seen) if symbol is None else self._board.report_news(symbol, seen)

    @contextmanager
    def _watching(self, symbol: str | None) -> Iterator[None]:
        if symbol is None:
            self._tables += 1
        else:
            self._watched[symbol] += 1
        if self._task is None or self._task.done():
            self._board, self._last_event, self._nodes_due = Board(self._settings.nt_report_period_ms), "", 0.0
            self._task = asyncio.create_task(self._run(), name="feed")
        try:
            yield
        finally:
            if symbol is None:
                self._tables -= 1
            else:
                self._watched[symbol] -= 1
                self._watched += Counter()  # without those that are at 0
            if not self._tables and not self._watched and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _run(self) -> None:
        outage = Outage("the data plane", logger)
        away_since: float | None = None
        said = 0.0
        try:
            while True:
                started = time.monotonic()
                self._looks_begun = number = self._looks_begun + 1
                try:
                    await self._look(started)
                except Unavailable as error:
                    away_since = away_since or started
                    if started - said >= _SAY_AWAY_EVERY_S:
                        said = started
                        self._board.lose(round((time.monotonic() - away_since) * 1000), str(error))
                    self._nodes_due = 0.0
                    wait = outage.failed(error)
                else:
                    outage.over()
                    away_since, said = None, 0.0
                    spent = time.monotonic() - started
                    wait = max(PERIOD_S - spent, spent)  # never busy for more than half of the time
                self._looks_done = number
                self._announce()
                await asyncio.sleep(wait)
        except Exception:
            logger.exception("the feed failed; its streams end")
            raise
        finally:
            asyncio.get_running_loop().call_soon(self._announce)  # when this task is done

    async def _look(self, started: float) -> None:
        """Read what has to be read now, and put it on the board."""
        directory = None
        if started >= self._nodes_due:
            directory = await read_directory(self._plane, self._settings.nt_heartbeat_ttl_ms)
            self._nodes_due = started + NODES_EVERY_S
            self._owners = {symbol: owner.node for symbol, owner in directory.assignment.owners.items()}
            self._table = known_symbols(directory.assignment, self._settings.symbols)
        _, happened = await read_events(self._plane, self._last_event, NEWEST)
        table = self._table if self._tables else ()
        now_ms, reports = await read_reports(self._plane, tuple(dict.fromkeys((*table, *self._watched))))
        # From here on nothing is awaited, so nobody sees half of it.
        self._board.begin(now_ms)
        if self._board.put_table(table):
            self._rates = Rates()
        self._rates.add(started, self._board.put_reports(reports, self._owners))
        self._board.put_events(happened)
        if happened:
            self._last_event = happened[-1].id
        if directory is not None:
            nodes = [replace(node, reports_per_sec=self._rates.of(node.node)) for node in directory.nodes]
            self._board.put_nodes(nodes, directory.leader)

    def _announce(self) -> None:
        """Wake all watchers."""
        self._turn.set()
        self._turn = asyncio.Event()
