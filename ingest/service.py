"""Ingest as a whole: every venue that the symbols name, and one writer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Sequence

from ingest import venues
from ingest.book_sync import BookSync
from ingest.desired_symbols import DesiredSymbols
from ingest.library_market import LibraryMarket
from ingest.market import Endpoints, Market, OpenSession, direct_or_proxied
from ingest.pacing import SnapshotSchedule
from ingest.proxy import BadProxy
from ingest.venue import LibraryVenue
from ingest.venue_part import VenuePart
from ingest.writer import Writer
from tickfence.coordination.clock import ServerClock
from tickfence.instrument import DEFAULT_VENUE, Instrument, split
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.redis_access.outage import Backoff
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

SOONEST_WAKE_S, LATEST_WAKE_S = 0.05, 0.1
"""How often is looked at what is due by time: as often as a book is, between these limits."""
DRAIN_S = 2.0
FIRST_RESTART_S, MAXIMUM_RESTART_S = 1.0, 60.0


class Ingest:
    """Reads the venues of all symbols and writes their market data to Redis, until `stop`.

    Args:
        settings: the process's settings.
        clock: the Redis server's time.
        open_session: opens sessions of aiohttp.
    """

    def __init__(
        self,
        settings: Settings,
        clock: ServerClock | None = None,
        open_session: OpenSession = direct_or_proxied,
    ) -> None:
        self._settings = settings
        self._open_session = open_session
        self._clock = clock or ServerClock()
        self._books: dict[Instrument, BookSync] = {}
        self._writer = Writer(
            settings.redis_url,
            self._books,
            keys=settings.keys,
            clock=self._clock,
            buffer_entries=settings.nt_ingest_buffer_entries,
            snapshot_interval_ms=settings.nt_snapshot_interval_ms,
            fetch_trades=self._fetch_trades,
            needs_lease=self._needs_lease,
            name=settings.process_name("ingest"),
        )
        self._markets: dict[str, VenuePart] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._desired = DesiredSymbols(
            settings.redis_url,
            settings.keys,
            settings.symbols,
            settings.nt_ingest_shard,
            name=settings.process_name("ingest"),
        )
        self._schedule = SnapshotSchedule((), settings.nt_snapshot_interval_ms / 1000, time.monotonic())
        self._stopping = asyncio.Event()
        metrics.buffer_entries.set_function(lambda: self._writer.waiting)
        metrics.leases.set_function(lambda: self._writer.leases.held)
        metrics.unwritten.set_function(lambda: self._writer.leases.unwritten)

    def stop(self) -> None:
        """Let `run` write what waits, and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until `stop`.

        Raises:
            ExceptionGroup: a part has failed with an error that it does not expect, which is a defect.
        """
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._writer.run())
                desired = group.create_task(self._desired.run(self._follow))
                timer = group.create_task(self._run_on_time())
                await self._stopping.wait()
                desired.cancel()
                await self._end(list(self._tasks))
                await self._writer.drain(DRAIN_S)
                timer.cancel()
                writing.cancel()
        finally:
            await self._end(list(self._tasks))

    def _follow(self, symbols: Sequence[Instrument], removed: Sequence[Instrument]) -> None:
        """Follow exactly these symbols from now on, and leave nothing in Redis of any other that was.

        The streams, books and entries of a symbol that stays are not touched.

        Args:
            symbols: to follow.
            removed: symbols that may have been removed while this process did not run.
        """
        wanted = self._by_venue(symbols)
        for name in wanted.keys() - self._markets.keys():
            self._open(name)
        gone = [symbol for symbol in self._books if symbol not in symbols]
        missed = [symbol for symbol in self._followed(removed) if symbol not in gone]
        added = [symbol for name in self._markets for symbol in wanted.get(name, ()) if symbol not in self._books]
        self._writer.add(missed)
        self._writer.remove(gone + missed)
        self._writer.add(added)
        added_to, gone_from = self._by_venue(added), self._by_venue(gone)
        for name, market in list(self._markets.items()):
            market.change(added_to.get(name, ()), gone_from.get(name, ()))
            if name not in wanted:
                del self._markets[name]
                self._tasks.pop(name).cancel()
        self._schedule.follow(list(self._books), time.monotonic())
        metrics.symbols_without_venue.set(sum(map(len, wanted.values())) - len(self._books))
        logger.info("symbols followed", extra={"symbols": len(self._books), "added": added, "removed": gone})

    def _followed(self, symbols: Sequence[Instrument]) -> list[Instrument]:
        """Those of ``symbols`` whose venues this process is to follow."""
        chosen = self._settings.nt_ingest_venues
        return [symbol for symbol in symbols if not chosen or split(symbol)[0] in chosen]

    def _by_venue(self, symbols: Sequence[Instrument]) -> dict[str, list[Instrument]]:
        found: dict[str, list[Instrument]] = defaultdict(list)
        for symbol in self._followed(symbols):
            found[split(symbol)[0]].append(symbol)
        return found

    def _open(self, name: str) -> None:
        """Begin with a venue, if that can be."""
        try:
            self._markets[name] = self._market(name)
        except (venues.NoVenue, BadProxy) as error:
            logger.error("symbols of a venue cannot be followed", extra={"venue": name, "error": str(error)})
        except Exception as error:  # a defect of the venue's code
            extra = {"venue": name, "error": f"{type(error).__name__} {error}"}
            logger.exception("symbols of a venue cannot be followed", extra=extra)
        else:
            metrics.registry.begin(venue=name)
            metrics.books.labels(name).set_function(lambda: len(self._books_of(name)))
            metrics.books_in_sync.labels(name).set_function(lambda: sum(book.in_sync for book in self._books_of(name)))
            self._tasks[name] = asyncio.create_task(self._keep(name))

    def _books_of(self, name: str) -> list[BookSync]:
        """The order books of one venue."""
        market = self._markets.get(name)
        symbols = [] if market is None else market.symbols
        return [book for symbol in symbols if (book := self._books.get(symbol)) is not None]

    def _market(self, name: str) -> VenuePart:
        """Make a venue's part.

        Raises:
            NoVenue: it cannot be used here.
            BadProxy: the environment names a proxy that cannot be used.
        """
        venue, settings = venues.load(name), self._settings
        urls = settings.nt_venue_urls
        if name == DEFAULT_VENUE:
            urls = {f"{name}.ws": settings.nt_exchange_ws_url, f"{name}.rest": settings.nt_exchange_rest_url}
        if isinstance(venue, LibraryVenue):
            own = {key.removeprefix(f"{name}."): url for key, url in urls.items() if key.startswith(f"{name}.")}
            return LibraryMarket(venue, own, self._books, self._writer, now_ms=self._clock.now_ms)
        ws, rest = urls.get(f"{name}.ws", venue.ws_url), urls.get(f"{name}.rest", venue.rest_url)
        logger.info("a venue is read", extra={"venue": name, "ws": ws, "rest": rest})
        return Market(
            venue,
            Endpoints(ws, rest, self._open_session),
            self._books,
            self._writer,
            now_ms=self._clock.now_ms,
            audit_share=settings.nt_audit_weight_share,
        )

    async def _keep(self, name: str) -> None:
        """Run a venue's part until cancelled. One that fails starts again; the other venues do not notice."""
        backoff = Backoff(base=FIRST_RESTART_S, cap=MAXIMUM_RESTART_S)
        failed = False
        while True:
            try:
                if failed:
                    symbols, self._markets[name] = self._markets[name].symbols, self._market(name)
                    self._markets[name].change(symbols, ())
                await self._markets[name].run()
            except Exception:  # a defect of one venue's code
                failed, wait_s = True, backoff.next_s()
                logger.exception("a venue has failed and starts again", extra={"venue": name, "retry_s": wait_s})
                metrics.venue_failures.labels(name).inc()
                self._writer.on_connection_lost(self._markets[name].symbols)
                for book in self._books_of(name):
                    book.lose(metrics.Resync.DISCONNECTED)
                await asyncio.sleep(wait_s)

    async def _end(self, names: Sequence[str]) -> None:
        """End the venues' parts."""
        ending = [self._tasks.pop(name) for name in names]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def _needs_lease(self, symbol: Instrument) -> bool:
        """Whether the copies that two processes have of one update of this symbol cannot be told apart."""
        market = self._markets.get(split(symbol)[0])
        return market is not None and not market.numbered

    def _fetch_trades(self, symbol: Instrument, first_id: int, count: int) -> bool:
        market = self._markets.get(split(symbol)[0])
        return market is not None and market.fetch_trades(symbol, first_id, count)

    async def _run_on_time(self) -> None:
        while True:
            await asyncio.sleep(min(max(self._schedule.step_s, SOONEST_WAKE_S), LATEST_WAKE_S))
            for symbol in self._schedule.due(time.monotonic()):
                self._writer.want_snapshot(symbol, metrics.SnapshotReason.INTERVAL)
            self._writer.wake()
            for market in self._markets.values():
                market.tick()
