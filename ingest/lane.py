"""What is on its way to one Redis server, and the sending of it in batches.

Per symbol and stream the order is kept; trades whose predecessors only another ingest may have
wait in a `Holdback`. A batch whose replies did not all come is sent again
as a whole: what Redis took of it already, it refuses the second time. While Redis is away
entries wait in a `Buffer`. After a drop, or when Redis turns out to have lost a stream, the
whole book is written anew, so that readers, who see the gap in the update ids, find what to
load.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from redis.exceptions import ResponseError

from ingest.buffer import Buffer, Entry
from ingest.events import SymbolRules, Ticker
from ingest.holdback import ASK_EVERY_S, Holdback
from ingest.log_limit import LogLimit
from ingest.outbox import UNSENT, Book, HashOutbox, Sent, SnapshotOutbox
from ingest.redis_connection import Open, Unavailable
from ingest.redis_link import RedisLink
from ingest.stream_state import StreamState
from tickfence.instrument import Instrument
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.redis_access.errors import UNAVAILABLE
from tickfence.streams import append
from tickfence.streams.append import Command
from tickfence.streams.codec import split_id
from tickfence.streams.keys import book_key, snapshot_key, trades_key

logger = logging.getLogger(__name__)

FLUSH_S = 0.005
BATCH_ENTRIES = 2_000
KEEP_TRADES_MS = 31 * 60 * 1000
KEEP_BOOK_INTERVALS = 3
PROTECT_INTERVALS = 3
TRIM_EVERY_MS = 1_000
PROBE_EVERY_S = 1.0
DELETE_AGAIN_S = 5.0


class Clock(Protocol):
    """The Redis server's clock, estimated from round trips."""

    def observe(self, sent: float, received: float, server_ms: float) -> None: ...

    def now_ms(self) -> int: ...


class Streams(NamedTuple):
    """The state of each symbol's two streams, and the books the diffs lead to."""

    trades: Mapping[Instrument, StreamState]
    diffs: Mapping[Instrument, StreamState]
    books: Mapping[Instrument, Book]


class Lane:
    """Brings some symbols' data to the server that holds them.

    Parameters:
        symbols: all keys of these are on the server.
        streams: of these symbols, and of others too.
        clock: learns the server's time from this lane's round trips, if ``observes``.
        buffer_entries: entries kept while the server is away; the oldest beyond that are dropped.
        snapshot_interval_ms: how often each book is written; diffs are kept for three of it.
    """

    def __init__(
        self,
        symbols: Collection[Instrument],
        streams: Streams,
        *,
        clock: Clock,
        observes: bool,
        buffer_entries: int,
        snapshot_interval_ms: int,
    ) -> None:
        self._symbols = symbols
        self._streams = streams
        self._clock = clock
        self._observes = observes
        self._buffer = Buffer(buffer_entries)
        self._holdback = Holdback(buffer_entries // 2)
        self._snapshots = SnapshotOutbox(streams.books, streams.diffs, PROTECT_INTERVALS * snapshot_interval_ms)
        self._hashes = HashOutbox(clock.now_ms)
        self._keep_book_ms = KEEP_BOOK_INTERVALS * snapshot_interval_ms
        self._work = asyncio.Event()
        self._probe_at = 0.0 if observes else math.inf
        self._to_create: list[Entry] = []
        self._to_delete: dict[Instrument, Entry] = {}
        self._delete_at = 0.0
        self._heads = [
            {symbol: append.xadd_head(key(symbol), create=False) for symbol in symbols}
            for key in (trades_key, book_key)
        ]
        self._sending = False
        self._logs = LogLimit()

    @property
    def waiting(self) -> int:
        """Entries that wait for the server, or for another ingest's."""
        return len(self._buffer) + len(self._holdback)

    @property
    def idle(self) -> bool:
        """True when every entry was written."""
        return not (self.waiting or self._to_create or self._sending)

    async def run(self, connect: Open, on_away: Callable[[], None] = lambda: None) -> None:
        """Write until cancelled, reconnecting as often as it takes; what was not known to be written then waits."""
        await RedisLink(connect, self._use, on_away).run()

    def hand_over(self, lane_of: Mapping[Instrument, Lane]) -> None:
        """Give all that waits to other lanes, in its order. This one must not run."""
        self._holdback.hand_over(lambda symbol: lane_of[symbol]._holdback)
        for entry in [*self._to_delete.values(), *self._buffer.take(len(self._buffer))]:
            lane_of[entry.symbol].add(entry)
        for symbol, reason in self._snapshots.wanted():
            lane_of[symbol].want_snapshot(symbol, reason)
        for ticker in self._hashes.tickers():
            lane_of[ticker.symbol].set_ticker(ticker)
        for symbol, rules in self._hashes.infos():
            lane_of[symbol].set_info(symbol, rules)

    def wake(self) -> None:
        """Send what is due by time."""
        self._work.set()

    def add(self, entry: Entry) -> None:
        """Append an entry to its stream."""
        gone = self._buffer.add(entry)
        if gone is not None:
            self._dropped([gone], "buffer_full")
        self._work.set()

    def expect_trades(self, symbol: Instrument, before: int, first: tuple[int, int]) -> None:
        """The symbol's trades from the id ``first`` on wait for another ingest to append those behind ``before``."""
        self._holdback.expect(symbol, before, first)

    def want_snapshot(self, symbol: Instrument, reason: str) -> None:
        """Write the symbol's whole book with the next batch; one that is not in sync then is left out."""
        self._snapshots.want(symbol, reason)
        self._work.set()

    def set_ticker(self, ticker: Ticker) -> None:
        """Write the ticker within a second."""
        self._hashes.set_ticker(ticker)

    def set_info(self, symbol: Instrument, rules: SymbolRules) -> None:
        """Write the symbol's rules."""
        self._hashes.set_info(symbol, rules)
        self._work.set()

    def _dropped(self, entries: Sequence[Entry], reason: str) -> None:
        if not entries:
            return
        metrics.dropped.labels(reason).inc(len(entries))
        for entry in entries:
            if entry.is_book:
                self._snapshots.want(entry.symbol, "dropped")
            if not entry.text:
                self._to_delete[entry.symbol] = entry
        if (held := self._logs.allows(reason)) is not None:
            counts = {"reason": reason, "entries": len(entries), "held_back": held}
            logger.error("entries dropped before they reached Redis", extra=counts)

    async def _use(self, link: RedisLink) -> None:
        await self._greet(link)
        self._work.set()
        try:
            while True:
                await self._work.wait()
                await asyncio.sleep(FLUSH_S)
                self._work.clear()
                while await self._send_batch(link):
                    pass
                if self._holdback:
                    asyncio.get_running_loop().call_later(ASK_EVERY_S, self.wake)
        finally:
            self._put_back(self._holdback.disconnected())

    async def _greet(self, link: RedisLink) -> None:
        """Learn what this server has: its time, the newest id of each stream, and which books."""
        streams = [(symbol, self._streams.diffs[symbol], book_key(symbol)) for symbol in self._symbols]
        streams += [(symbol, self._streams.trades[symbol], trades_key(symbol)) for symbol in self._symbols]
        started = time.monotonic()
        commands: list[Command] = [append.top_command(key) for _, _, key in streams]
        commands += [("EXISTS", snapshot_key(symbol)) for symbol in self._symbols]
        probe, *replies = await link.exchange(append.pack([("TIME",), *commands]), 1 + len(commands))
        self._probed(started, time.monotonic(), probe)
        lost = {symbol for symbol, found in zip(self._symbols, replies[len(streams) :], strict=True) if not found}
        for (symbol, state, key), reply in zip(streams, replies, strict=False):
            if isinstance(reply, ResponseError):
                raise Unavailable(f"{key}: {reply}")
            if state.saw(split_id(reply[0][0]) if reply else None):
                lost.add(symbol)
        for symbol in lost:
            self.want_snapshot(symbol, "lost")
        metrics.redis_connects.inc()
        if (held := self._logs.allows("connected")) is not None:  # one that takes no writes is connected to often
            extra = {"waiting": len(self._buffer), "books_to_write": len(lost), "held_back": held}
            logger.info("connected to Redis", extra=extra)

    async def _send_batch(self, link: RedisLink) -> bool:
        """Send what is due, snapshots first; returns False when there is nothing more."""
        first, self._to_create = self._deletes_due() + self._to_create, []
        sent: list[Sent] = self._snapshots.commands() + self._hashes.commands()
        entries = first + self._next_entries()
        asked = self._holdback.to_ask()
        if not (sent or entries or asked or time.monotonic() >= self._probe_at):
            return bool(self._buffer)
        commands = [append.top_command(trades_key(symbol)) for symbol in asked] + [command for command, _ in sent]
        probe = time.monotonic() >= self._probe_at
        if probe:
            commands.insert(0, ("TIME",))
        text = append.pack(commands) + self._packed(first, entries)
        started = time.monotonic()
        self._sending = True
        try:
            replies = await link.exchange(text, len(commands) + len(entries))
        except (*UNAVAILABLE, asyncio.CancelledError):
            self._put_back(entries)
            for _, done in sent:
                done(UNSENT)
            raise
        finally:
            self._sending = False
        ended = time.monotonic()
        metrics.append_latency.observe((ended - started) * 1000)
        if probe:
            self._probed(started, ended, replies.pop(0))
        self._ends_of(asked, replies[: len(asked)])
        del replies[: len(asked)]
        for (command, done), reply in zip(sent, replies, strict=False):
            done(reply)
            if isinstance(reply, ResponseError) and not append.unknown_script(reply):
                self._failed(str(command[1]), reply)
        self._settle(entries, replies[len(sent) :])
        return True

    def _next_entries(self) -> list[Entry]:
        entries = self._buffer.take(BATCH_ENTRIES)
        if self._holdback.expects:
            entries = self._holdback.take(entries)
            self._put_back(self._holdback.released())
        return entries

    def _put_back(self, entries: Sequence[Entry]) -> None:
        self._dropped(self._buffer.put_back(entries), "buffer_full")

    def _ends_of(self, symbols: Sequence[Instrument], replies: Sequence[Any]) -> None:
        """The newest entries of trades streams that others may append to."""
        for symbol, reply in zip(symbols, replies, strict=True):
            nothing = isinstance(reply, ResponseError) or not reply
            missing = self._holdback.saw(symbol, None if nothing else split_id(reply[0][0]))
            metrics.trades_missing.inc(missing)
            if missing and (held := self._logs.allows("missing")) is not None:
                counts = {"symbol": symbol, "trades": missing, "held_back": held}
                logger.warning("nobody appended the trades before these in time, they are missing", extra=counts)
        self._put_back(self._holdback.released())

    def _deletes_due(self) -> list[Entry]:
        """What is to be deleted at last. What came into the stream since goes too: the book is written with it."""
        if not self._to_delete or time.monotonic() < self._delete_at:
            return []
        due, self._to_delete = list(self._to_delete.values()), {}
        for entry in due:
            self._snapshots.want(entry.symbol, "anew")
        return due

    def _packed(self, first: Sequence[Entry], entries: Sequence[Entry]) -> bytes:
        """The commands of ``entries``, which begin with ``first``: those may create their streams."""
        parts: list[bytes] = []
        diffs, trades = self._streams.diffs, self._streams.trades
        for number, entry in enumerate(entries):
            symbol, is_book = entry.symbol, entry.is_book
            state = (diffs if is_book else trades)[symbol]
            if not entry.text:
                parts.append(append.pack([("DEL", book_key(symbol))]))
            elif number < len(first) or entry.time_ms - state.trimmed_ms >= TRIM_EVERY_MS:
                parts.append(self._head(entry, state, create=number < len(first)))
            else:
                parts.append(self._heads[is_book][symbol])
            parts.append(entry.text)
        return b"".join(parts)

    def _head(self, entry: Entry, state: StreamState, *, create: bool) -> bytes:
        keep_from_ms = None
        if entry.time_ms - state.trimmed_ms >= TRIM_EVERY_MS:
            state.trimmed_ms = entry.time_ms
            keep_from_ms = entry.time_ms - (self._keep_book_ms if entry.is_book else KEEP_TRADES_MS)
        key = (book_key if entry.is_book else trades_key)(entry.symbol)
        return append.xadd_head(key, keep_from_ms=keep_from_ms, create=create)

    def _settle(self, entries: Sequence[Entry], replies: Sequence[Any]) -> None:
        """Read Redis's verdict on each entry."""
        taken = copies = 0
        lost = False
        diffs, trades = self._streams.diffs, self._streams.trades
        for entry, reply in zip(entries, replies, strict=True):
            state = (diffs if entry.is_book else trades)[entry.symbol]
            if type(reply) is bytes:
                taken += 1
                state.acknowledged = (entry.time_ms, entry.sequence)
            elif reply is None:
                lost = lost or state.acknowledged is not None
                self._to_create.append(entry)
            elif append.refused(reply):
                copies += 1
                state.acknowledged = (entry.time_ms, entry.sequence)
            elif isinstance(reply, ResponseError):
                self._failed(f"stream of {entry.symbol}", reply)
                self._dropped([entry], "redis_error")
                if not entry.text:
                    self._delete_at = time.monotonic() + DELETE_AGAIN_S
            elif not entry.text:
                state.acknowledged = None
            else:
                raise TypeError(f"XADD was answered by {reply!r}")
        metrics.appended.inc(taken)
        metrics.duplicates.labels("redis").inc(copies)
        if lost:
            self._lost()

    def _lost(self) -> None:
        """Redis lost its data under an unbroken connection: write every book anew."""
        logger.warning("Redis lost its streams, writing all books anew")
        for symbol in self._symbols:
            self._streams.diffs[symbol].acknowledged = self._streams.trades[symbol].acknowledged = None
            self.want_snapshot(symbol, "lost")

    def _failed(self, what: str, error: ResponseError) -> None:
        if (held := self._logs.allows("failed")) is not None:
            logger.error("Redis refused a write", extra={"what": what, "error": str(error), "held_back": held})

    def _probed(self, sent: float, received: float, reply: Any) -> None:
        if not self._observes:
            return
        self._probe_at = received + PROBE_EVERY_S
        if not isinstance(reply, ResponseError):
            seconds, microseconds = reply
            self._clock.observe(sent, received, int(seconds) * 1000 + int(microseconds) / 1000)
