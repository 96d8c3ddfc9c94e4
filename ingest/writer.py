"""Everything ingest writes to Redis: ids given, copies left out, each symbol's data put on its lane."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping

from ingest.buffer import ANEW, Entry
from ingest.cluster_map import ClusterMap, Placement
from ingest.events import Diff, SymbolRules, Ticker, Trade
from ingest.lane import Clock, Lane, Streams
from ingest.log_limit import LogLimit
from ingest.outbox import Book
from ingest.redis_connection import to_redis
from ingest.stream_state import Place, StreamState
from tickfence.instrument import Instrument
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.redis_access.address import Cluster, parse_cluster
from tickfence.streams import append

logger = logging.getLogger(__name__)

DRAINED_EVERY_S = 0.005
FAR_AHEAD_MS = 60_000


class Writer:
    """Takes what ingest knows to be true and brings it to Redis.

    All of it goes to one server, along one lane. On a Redis Cluster there is a lane for each
    master, so one that is away holds up its own symbols only. When symbols turn out to have
    another master, all lanes stop, and what waits is put on new ones: that is how the order of
    a symbol's entries outlives the move.

    Parameters:
        url: of the data plane.
        books: of all symbols that may come; where to find the book for a snapshot.
        clock: learns the server's time from this writer's round trips, on a cluster from those with one master.
        buffer_entries: entries kept while Redis is away; the oldest beyond that are dropped. On a
            cluster each lane may keep its symbols' share of them.
        snapshot_interval_ms: how often each book is written; diffs are kept for three of it.
    """

    def __init__(
        self,
        url: str,
        books: Mapping[Instrument, Book],
        *,
        clock: Clock,
        buffer_entries: int,
        snapshot_interval_ms: int,
    ) -> None:
        self._url = url
        self._clock = clock
        self._buffer_entries = buffer_entries
        self._snapshot_interval_ms = snapshot_interval_ms
        self._trades = {symbol: StreamState() for symbol in books}
        self._books = {symbol: StreamState() for symbol in books}
        self._streams = Streams(self._trades, self._books, books)
        self._lanes = [self._lane(tuple(books), observes=True)]
        self._lane_of = dict.fromkeys(books, self._lanes[0])
        self._logs = LogLimit()

    @property
    def waiting(self) -> int:
        """Entries that wait for Redis."""
        return sum(lane.waiting for lane in self._lanes)

    async def run(self) -> None:
        """Write until cancelled, reconnecting as often as it takes."""
        cluster = parse_cluster(self._url)
        if cluster is None:
            await self._lanes[0].run(to_redis(self._url))
        else:
            await self._run_on_cluster(cluster)

    async def drain(self, timeout_s: float) -> None:
        """Return once every entry was written, or after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if all(lane.idle for lane in self._lanes):
                break
            await asyncio.sleep(DRAINED_EVERY_S)

    def wake(self) -> None:
        """Send what is due by time: tickers, and the probe of the server's clock."""
        for lane in self._lanes:
            lane.wake()

    def add_trade(self, trade: Trade, received_ms: int) -> None:
        """Append a trade, unless it is a copy of one that was appended.

        Where this process has not heard of the one before it, the other ingest may: it then waits a little.
        """
        state = self._trades[trade.symbol]
        before = state.unheard(trade.trade_id)
        if state.place(trade.time_ms, trade.trade_id) is Place.COPY:
            self._skipped(trade.symbol, state, trade.time_ms)
            return
        time_ms = state.time_ms
        text = append.packed_trade(time_ms, trade.trade_id, trade.price, trade.quantity, trade.is_buy, received_ms)
        lane = self._lane_of[trade.symbol]
        if before is not None:
            lane.expect_trades(trade.symbol, before, (time_ms, trade.trade_id))
        lane.add(Entry(trade.symbol, False, time_ms, trade.trade_id, text))

    def add_diff(self, diff: Diff, received_ms: int) -> None:
        """Append a diff of a book that is in sync, unless it is a copy of one that was appended."""
        state, lane = self._books[diff.symbol], self._lane_of[diff.symbol]
        place = state.place(diff.time_ms, diff.last_update_id)
        if place is Place.COPY:
            self._skipped(diff.symbol, state, diff.time_ms)
            return
        if place is Place.ANEW:
            ids = {"symbol": diff.symbol, "update_id": diff.last_update_id}
            logger.warning("the exchange counts its updates anew", extra=ids)
            lane.add(Entry(diff.symbol, True, state.time_ms, diff.last_update_id, ANEW))
            lane.want_snapshot(diff.symbol, "anew")
        time_ms, last_update_id = state.time_ms, diff.last_update_id
        text = append.packed_diff(time_ms, diff.first_update_id, last_update_id, diff.bids, diff.asks, received_ms)
        lane.add(Entry(diff.symbol, True, time_ms, last_update_id, text))

    def want_snapshot(self, symbol: Instrument, reason: str) -> None:
        """Write the symbol's whole book with the next batch; one that is not in sync then is left out."""
        self._lane_of[symbol].want_snapshot(symbol, reason)

    def set_ticker(self, ticker: Ticker) -> None:
        """Write the ticker within a second."""
        self._lane_of[ticker.symbol].set_ticker(ticker)

    def set_info(self, symbol: Instrument, rules: SymbolRules) -> None:
        """Write the symbol's rules."""
        self._lane_of[symbol].set_info(symbol, rules)

    def _skipped(self, symbol: Instrument, state: StreamState, time_ms: int) -> None:
        metrics.duplicates.labels("ingest").inc()
        if time_ms < state.time_ms - FAR_AHEAD_MS and (held := self._logs.allows("ahead")) is not None:
            logger.error(
                "the stream in Redis is ahead of the exchange and nothing is appended: was it filled from another one?",
                extra={"symbol": symbol, "ahead_ms": state.time_ms - time_ms, "held_back": held},
            )

    def _lane(self, symbols: tuple[Instrument, ...], *, observes: bool) -> Lane:
        share = math.ceil(self._buffer_entries * len(symbols) / len(self._trades))
        return Lane(
            symbols,
            self._streams,
            clock=self._clock,
            observes=observes,
            buffer_entries=share,
            snapshot_interval_ms=self._snapshot_interval_ms,
        )

    async def _run_on_cluster(self, cluster: Cluster) -> None:
        where = ClusterMap(cluster, self._trades)
        placement = await where.changed()
        while True:
            self._place(placement)
            async with asyncio.TaskGroup() as group:
                running = [
                    group.create_task(lane.run(where.connect(master), where.doubt))
                    for master, lane in zip(placement, self._lanes, strict=True)
                ]
                placement = await where.changed()
                for task in running:
                    task.cancel()

    def _place(self, placement: Placement) -> None:
        """Put all that waits on new lanes, one for each master."""
        before = self._lanes
        self._lanes = [self._lane(symbols, observes=n == 0) for n, symbols in enumerate(placement.values())]
        self._lane_of = {
            symbol: lane for lane, symbols in zip(self._lanes, placement.values(), strict=True) for symbol in symbols
        }
        for lane in before:
            lane.hand_over(self._lane_of)
        logger.info("symbols placed on the cluster", extra={"masters": len(placement)})
