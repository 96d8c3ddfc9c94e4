"""Ingest as a whole: its parts, put together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence

import aiohttp

from ingest.book_sync import BookSync
from ingest.desired_symbols import DesiredSymbols
from ingest.feed import Feed
from ingest.feeds import Feeds
from ingest.intake import Intake
from ingest.listing import Listing
from ingest.pacing import Allowance, SnapshotSchedule
from ingest.rest import DepthQueue, Priority, RestClient
from ingest.silence import Silence
from ingest.trade_history import TradeHistory
from ingest.venues import load
from ingest.writer import Writer
from tickfence.coordination.clock import ServerClock
from tickfence.instrument import Instrument
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

WAKE_EVERY_S = 0.05
AUDIT_EVERY_S = 1.0
"""Least time between two audits."""
DRAIN_S = 2.0
OPENINGS_SHARE = 0.8
"""Share of the connections that the exchange allows in five minutes; other programs may use the same address."""


class Ingest:
    """Reads one exchange and writes its market data to Redis, until `stop`.

    Args:
        settings: the process's settings.
        streams: session of aiohttp for the WebSocket connections.
        requests: session of aiohttp for the REST requests.
        clock: the Redis server's time.
    """

    def __init__(
        self,
        settings: Settings,
        streams: aiohttp.ClientSession,
        requests: aiohttp.ClientSession,
        clock: ServerClock | None = None,
    ) -> None:
        exchange = load("binance")
        self._exchange = exchange
        self._audit_share = settings.nt_audit_weight_share
        clock = clock or ServerClock()
        silence = Silence()
        self._rest = RestClient(requests, settings.nt_exchange_rest_url, exchange, silence)
        self._depths = DepthQueue(self._rest)
        self._history = TradeHistory(self._rest, exchange.limits.trades_per_request)
        self._books: dict[Instrument, BookSync] = {}
        self._writer = Writer(
            settings.redis_url,
            self._books,
            keys=settings.keys,
            clock=clock,
            buffer_entries=settings.nt_ingest_buffer_entries,
            snapshot_interval_ms=settings.nt_snapshot_interval_ms,
            fetch_trades=self._history.want,
            needs_lease=lambda _: not exchange.numbered,
            name=settings.process_name("ingest"),
        )
        self._listing = Listing(self._rest, exchange, (), self._writer.set_info)
        self._intake = Intake(
            exchange,
            self._books,
            self._writer,
            now_ms=clock.now_ms,
            want_depth=self._depths.want,
            on_rules=self._listing.on_rules,
        )
        connections, span_s = exchange.limits.connections
        openings = Allowance(connections * OPENINGS_SHARE, span_s)

        def feed(symbols: Sequence[Instrument]) -> Feed:
            return Feed(
                streams,
                exchange,
                settings.nt_exchange_ws_url,
                symbols,
                on_message=self._intake.on_message,
                on_open=self._intake.on_open,
                on_lost=self._intake.on_lost,
                openings=openings,
                silence=silence,
            )

        self._feeds = Feeds(exchange, feed)
        self._desired = DesiredSymbols(
            settings.redis_url,
            settings.keys,
            settings.symbols,
            settings.nt_ingest_shard,
            name=settings.process_name("ingest"),
        )
        self._schedule = SnapshotSchedule((), settings.nt_snapshot_interval_ms / 1000, time.monotonic())
        self._stopping = asyncio.Event()
        metrics.books.set_function(lambda: len(self._books))
        metrics.books_in_sync.set_function(lambda: sum(book.in_sync for book in self._books.values()))
        metrics.buffer_entries.set_function(lambda: self._writer.waiting)
        metrics.leases.set_function(lambda: self._writer.leases.held)

    def stop(self) -> None:
        """Let `run` write what waits, and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until `stop`.

        Raises:
            ExceptionGroup: a part has failed with an error that it does not expect, which is a defect.
        """
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._writer.run())
            reading = [
                group.create_task(self._feeds.run()),
                group.create_task(self._desired.run(self._follow)),
                group.create_task(self._depths.run(self._intake.on_depth)),
                group.create_task(self._history.run(self._intake.on_trades)),
                group.create_task(self._listing.run()),
                group.create_task(self._audit()),
            ]
            timer = group.create_task(self._run_on_time())
            await self._stopping.wait()
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
            await self._writer.drain(DRAIN_S)
            timer.cancel()
            writing.cancel()

    def _follow(self, symbols: Sequence[Instrument], removed: Sequence[Instrument]) -> None:
        """Follow exactly these symbols from now on, and leave nothing in Redis of any other that was.

        The streams, books and entries of a symbol that stays are not touched.

        Args:
            symbols: to follow.
            removed: symbols that may have been removed while this process did not run.
        """
        added = [symbol for symbol in symbols if symbol not in self._books]
        gone = [symbol for symbol in self._books if symbol not in symbols]
        for symbol in gone:
            del self._books[symbol]
            self._intake.forget(symbol)
        self._feeds.remove(gone)
        missed = [symbol for symbol in removed if symbol not in gone]
        self._writer.add(missed)
        self._writer.remove(gone + missed)
        self._books |= {symbol: BookSync(symbol) for symbol in added}
        self._exchange.follow(symbols)
        self._writer.add(added)
        self._feeds.add(added)
        self._listing.follow(symbols)
        self._schedule.follow(symbols, time.monotonic())
        logger.info("symbols followed", extra={"symbols": len(symbols), "added": added, "removed": gone})

    async def _run_on_time(self) -> None:
        while True:
            await asyncio.sleep(WAKE_EVERY_S)
            for symbol in self._schedule.due(time.monotonic()):
                self._writer.want_snapshot(symbol, metrics.SnapshotReason.INTERVAL)
            self._writer.wake()
            self._intake.count()

    async def _audit(self) -> None:
        """Compare the books with fresh snapshots in turn; without weight to spare, one waits for its next turn."""
        for symbol in self._in_turn() if self._audit_share else ():
            if symbol is None:
                await asyncio.sleep(AUDIT_EVERY_S)
                continue
            await asyncio.sleep(max(AUDIT_EVERY_S, self._rest.depth_interval_s(symbol) / self._audit_share))
            if symbol in self._books and self._rest.depth_wait_s(symbol, Priority.AUDIT) <= 0:
                self._intake.audit(symbol)

    def _in_turn(self) -> Iterator[Instrument | None]:
        """Each symbol in turn, again and again; ``None`` while there is none."""
        while True:
            yield from list(self._books) or (None,)
