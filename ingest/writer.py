"""Everything that ingest writes to Redis: it gets its ids here, copies are left out, and each symbol has its lane."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from ingest.book_sync import BookSync
from ingest.buffer import DELETE, Entry
from ingest.cluster_map import ClusterMap
from ingest.events import Diff, SymbolRules, Ticker, Trade
from ingest.holdback import Held, Holdback, Id
from ingest.lane import Lane
from ingest.pacing import LogLimit
from ingest.pending import Pending
from ingest.stream_state import Place, StreamState
from ingest.streams import Streams
from ingest.writer_leases import WriterLeases
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.redis_access.address import parse_cluster
from tickfence.redis_access.raw_connection import opener
from tickfence.streams import append
from tickfence.streams.codec import TradesUpTo

logger = logging.getLogger(__name__)

CHECK_DRAINED_EVERY_S = 0.005
FAR_AHEAD_MS = 60_000


class Writer:
    """Takes what ingest knows to be true and brings it to Redis.

    All of it goes to one server, along one lane. On a Redis Cluster there is a lane for each master, so a master that
    is away holds up its own symbols only. When symbols turn out to have another master, all lanes stop, and what waits
    moves to new ones. So the entries of a symbol stay in order.

    Args:
        url: the data plane.
        books: the order book of every symbol that is followed. Call `add` and `remove` with each change.
        keys: every key of the deployment.
        clock: learns the server's time from this writer's round trips; on a cluster, from those with one master.
        buffer_entries: entries kept while Redis is away; beyond that the oldest are dropped. On a cluster each lane
            may keep its symbols' share of them.
        snapshot_interval_ms: how often each book is written; diffs are kept for three intervals.
        fetch_trades: asks the exchange for trades that are missing: the symbol, the first id, and how many.
            `add_fetched` gets the answer. False if the exchange gives none.
        needs_lease: whether one process at a time writes this symbol, because two could not tell their copies of an entry
            apart. Its entries come by `ingest.leased_writer.LeasedWriter`.
        name: shown by ``CLIENT LIST``.
        monotonic: a clock, in seconds.

    Attributes:
        leases: of the symbols that need one.
    """

    def __init__(
        self,
        url: str,
        books: Mapping[Instrument, BookSync],
        *,
        keys: Keys,
        clock: ServerClock,
        buffer_entries: int,
        snapshot_interval_ms: int,
        fetch_trades: Callable[[Instrument, int, int], bool] = lambda *_: False,
        needs_lease: Callable[[Instrument], bool] = lambda _: False,
        name: str = "ingest",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._name = name
        self._clock = clock
        self._buffer_entries = buffer_entries
        self._trades: dict[Instrument, StreamState] = {}
        self._diffs: dict[Instrument, StreamState] = {}
        self._needs_lease = needs_lease
        self.leases = WriterLeases(keys, str(Owner.start(name)), self._trades, self._diffs, books, monotonic)
        self._leased = self.leases.symbols
        self._streams = Streams(keys, self._trades, self._diffs, books, self.leases, snapshot_interval_ms)
        self._holdback = Holdback(buffer_entries // 2, fetch_trades, monotonic)
        self._waiting = self._holdback.queues
        self._broken: set[Instrument] = set()
        cluster = parse_cluster(url)
        self._where = None if cluster is None else ClusterMap(cluster, (), keys, name)
        self._lanes: list[Lane] = []
        if self._where is None:
            self._lanes.append(self._lane((), buffer_entries))
        # What has no lane: symbols whose master is not known yet.
        self._unplaced = Pending(self._streams, clock.now_ms, buffer_entries)
        self._pending: dict[Instrument, Pending] = {}
        self._logs = LogLimit()
        self.add(tuple(books))

    @property
    def waiting(self) -> int:
        """Number of entries that wait for Redis, or for trades before them."""
        return len(self._unplaced) + sum(len(lane.pending) for lane in self._lanes) + len(self._holdback)

    async def run(self) -> None:
        """Write until cancelled, and connect as often as it takes."""
        if self._where is None:
            await self._lanes[0].run(opener(self._url, name=self._name))
        else:
            await self._run_on_cluster(self._where)

    def add(self, symbols: Collection[Instrument]) -> None:
        """Take what comes of these symbols, too. The first diff of each says that it proves nothing of the trades before."""
        first = self._unplaced if self._where else self._lanes[0].pending
        for symbol in symbols:
            self._trades[symbol], self._diffs[symbol] = StreamState(), StreamState()
            self._pending.setdefault(symbol, first).keep(symbol)
        self.leases.add(filter(self._needs_lease, symbols))
        self._broken.update(symbols)
        for lane in self._lanes:
            lane.add([symbol for symbol in symbols if self._pending[symbol] is lane.pending])
        self._locate()

    def remove(self, symbols: Collection[Instrument]) -> None:
        """Drop what waits of these symbols, and delete their keys, twice. Nothing of them may come from now on."""
        self._broken.difference_update(symbols)
        self.leases.stop_asking(symbols)
        for symbol in symbols:
            self._holdback.forget(symbol)
            if self._pending[symbol] is self._unplaced:
                self._unplaced.remove(symbol)
        for lane in self._lanes:
            lane.remove([symbol for symbol in symbols if self._pending[symbol] is lane.pending])

    async def drain(self, timeout_s: float) -> None:
        """Return once every entry was written and every lease given back, or after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not (self._holdback or self._unplaced) and all(lane.idle for lane in self._lanes):
                if not self.leases.held:
                    break
                self.leases.release()
                self.wake()
            await asyncio.sleep(CHECK_DRAINED_EVERY_S)

    def wake(self) -> None:
        """Send what is due by time: tickers, questions for leases, and the question for the server's time."""
        for lane in self._lanes:
            lane.pending.work.set()

    def add_trade(self, trade: Trade, received_ms: int) -> None:
        """Append a trade, unless the stream has it already. It waits if trades before it may still come.

        Args:
            trade: what to append.
            received_ms: when it was received, ms on the Redis server's clock.
        """
        symbol = trade.symbol
        state = self._trades[symbol]
        if trade.trade_id - trade.count == state.received and not self._waiting:
            state.received = trade.trade_id
            self._append_trade(state, trade, received_ms)
            return
        self._pass_on(self._holdback.add(state.received, Held(trade, received_ms)))
        self._pending[symbol].work.set()

    def add_fetched(self, symbol: Instrument, trades: Sequence[Trade], received_ms: int) -> None:
        """Take a page of the answer to `fetch_trades`: trades in the order of their ids; none end the answer."""
        self._holdback.on_fetched(symbol, trades, received_ms)

    def add_diff(self, diff: Diff, received_ms: int) -> None:
        """Append a diff of a book that is in sync, unless the stream has it already.

        Args:
            diff: what to append.
            received_ms: when it was received, ms on the Redis server's clock.
        """
        state, pending = self._diffs[diff.symbol], self._pending[diff.symbol]
        place = state.place(diff.time_ms, diff.last_update_id)
        if place is Place.COPY:
            self._skipped(diff.symbol, state, diff.time_ms)
            return
        token = self.leases[diff.symbol].token if diff.symbol in self._leased else 0
        if place is Place.RESTART:
            ids = {"symbol": diff.symbol, "update_id": diff.last_update_id}
            logger.warning("the exchange numbers its updates from the start again", extra=ids)
            pending.add(Entry(diff.symbol, True, state, state.time_ms, diff.last_update_id, DELETE, token))
            pending.want_snapshot(diff.symbol, metrics.SnapshotReason.RENUMBERED)
        time_ms, last_update_id = state.time_ms, diff.last_update_id
        trades = TradesUpTo.KNOWN
        if self._broken or self._waiting:
            trades = self._trades_up_to(diff.symbol)
        text = append.packed_diff(
            time_ms, diff.first_update_id, last_update_id, diff.bids, diff.asks, received_ms, trades
        )
        pending.add(Entry(diff.symbol, True, state, time_ms, last_update_id, text, token))

    def begin(self, symbol: Instrument) -> None:
        """Start a symbol again behind what is in Redis: this process is the only one to write it from now on."""
        self._broken.add(symbol)
        self._holdback.forget(symbol)
        self.want_snapshot(symbol, metrics.SnapshotReason.TAKEOVER)
        self._pending[symbol].write_hashes_again({symbol})

    def on_connection_lost(self, symbols: Iterable[Instrument]) -> None:
        """Let the next diffs of ``symbols`` tell that trades may have been missed."""
        symbols = list(symbols)
        self._broken.update(symbols)
        self.leases.on_connection_lost(symbols)

    def want_snapshot(self, symbol: Instrument, reason: metrics.SnapshotReason) -> None:
        """Write the symbol's whole book with the next batch, if it is in sync then."""
        self._pending[symbol].want_snapshot(symbol, reason)

    def set_ticker(self, ticker: Ticker) -> None:
        """Write the ticker within a second."""
        self._pending[ticker.symbol].set_ticker(ticker)

    def set_info(self, symbol: Instrument, rules: SymbolRules) -> None:
        """Write the symbol's rules."""
        self._pending[symbol].set_info(symbol, rules)

    def _trades_up_to(self, symbol: Instrument) -> TradesUpTo:
        if symbol in self._broken:
            self._broken.discard(symbol)
            return TradesUpTo.BROKEN
        return TradesUpTo.HELD if symbol in self._waiting else TradesUpTo.KNOWN

    def _on_newest_trade(self, symbol: Instrument, newest: Id | None) -> None:
        """Take in the newest entry of a trades stream that trades wait for."""
        trades, missing = self._holdback.on_newest(symbol, newest)
        self._pass_on(trades)
        metrics.trades_missing.inc(missing)
        if missing and (held_back := self._logs.allows("missing")) is not None:
            counts = {"symbol": symbol, "trades": missing, "held_back": held_back}
            logger.warning("neither another ingest nor the exchange gave the trades before these in time", extra=counts)

    def _pass_on(self, trades: Sequence[Held]) -> None:
        for trade, received_ms in trades:
            state = self._trades[trade.symbol]
            state.received = max(state.received, trade.trade_id)
            self._append_trade(state, trade, received_ms)

    def _append_trade(self, state: StreamState, trade: Trade, received_ms: int) -> None:
        symbol, trade_id = trade.symbol, trade.trade_id
        if state.place(trade.time_ms, trade_id) is Place.COPY:
            self._skipped(symbol, state, trade.time_ms)
            return
        time_ms = state.time_ms
        text = append.packed_trade(
            time_ms, trade_id, trade.price, trade.quantity, trade.is_buy, received_ms, trade.count
        )
        token = self.leases[symbol].token if symbol in self._leased else 0
        self._pending[symbol].add(Entry(symbol, False, state, time_ms, trade_id, text, token))

    def _skipped(self, symbol: Instrument, state: StreamState, time_ms: int) -> None:
        metrics.duplicates.labels(metrics.Duplicate.INGEST).inc()
        if time_ms < state.time_ms - FAR_AHEAD_MS and (held_back := self._logs.allows("ahead")) is not None:
            logger.error(
                "the stream in Redis is ahead of the exchange and nothing is appended: was it filled from another one?",
                extra={"symbol": symbol, "ahead_ms": state.time_ms - time_ms, "held_back": held_back},
            )

    def _on_gone(self, symbols: Iterable[Instrument]) -> None:
        """Forget symbols that were removed and of which nothing is left."""
        for symbol in symbols:
            del self._trades[symbol], self._diffs[symbol], self._pending[symbol]
            self.leases.remove(symbol)
        self._locate()

    def _locate(self) -> None:
        if self._where is not None:
            self._where.follow(tuple(self._pending))

    async def _run_on_cluster(self, where: ClusterMap) -> None:
        placement = await where.changed()
        while True:
            self._place(list(placement.values()))
            logger.info("symbols placed on the cluster", extra={"masters": len(placement)})
            async with asyncio.TaskGroup() as group:
                running = [
                    group.create_task(lane.run(where.opener(master), where.doubt))
                    for master, lane in zip(placement, self._lanes, strict=True)
                ]
                placement = await where.changed()
                for task in running:
                    task.cancel()

    def _place(self, placement: Sequence[tuple[Instrument, ...]]) -> None:
        """Make a lane for each group of symbols, and move what waits there."""
        for lane in self._lanes:
            lane.let_go()
        before, self._lanes = self._lanes, []
        unplaced, self._unplaced = self._unplaced, Pending(self._streams, self._clock.now_ms, self._buffer_entries)
        self._pending = dict.fromkeys(self._pending, self._unplaced)
        for symbols in placement:
            placed = [symbol for symbol in symbols if symbol in self._pending]
            share = math.ceil(self._buffer_entries * len(placed) / max(len(self._pending), 1))
            self._lanes.append(lane := self._lane(placed, share))
            self._pending |= dict.fromkeys(placed, lane.pending)
        for lane in before:
            lane.hand_over(self._pending)
        unplaced.hand_over(self._pending)

    def _lane(self, symbols: Collection[Instrument], buffer_entries: int) -> Lane:
        return Lane(
            symbols,
            self._streams,
            holdback=self._holdback,
            on_newest=self._on_newest_trade,
            on_gone=self._on_gone,
            clock=self._clock,
            reads_time=not self._lanes,
            buffer_entries=buffer_entries,
        )
