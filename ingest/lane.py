"""Writing to one Redis server, in batches.

If not all replies to a batch come, the whole batch is sent again: Redis refuses what it has already. When Redis turns
out to have lost a stream, the whole book is written again: readers see the gap in the update ids, and load that book.

Symbols come and go between two batches, when nothing of them is on its way.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ingest.buffer import Entry
from ingest.holdback import ASK_EVERY_S, Holdback, Id
from ingest.keep_connected import keep_connected
from ingest.pacing import LogLimit
from ingest.packing import Call, EntryPacker
from ingest.pending import Pending
from ingest.streams import Streams
from tickfence.coordination.clock import ServerClock
from tickfence.instrument import Instrument
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.redis_access.command import UNSENT, Command
from tickfence.redis_access.errors import REDIS_ERRORS, ResponseError
from tickfence.redis_access.raw_connection import Opener, RawConnection
from tickfence.redis_access.scripts import with_source
from tickfence.streams import append

logger = logging.getLogger(__name__)

FLUSH_S = 0.01
"""Least time between two batches. The first after a pause is sent at once."""
BATCH_ENTRIES = 2_000
READ_TIME_EVERY_S = 1.0
SHOWN_SYMBOLS = 10


class Lane:
    """Brings the data of some symbols to the server that holds them.

    Args:
        symbols: symbols whose keys are all on the server, at first.
        streams: of these symbols, and of others too.
        holdback: trades that wait for others in their streams.
        on_newest: gets the newest id of a stream that `holdback` asks for; ``None`` if there is no stream.
        clock: the server's time.
        on_gone: gets the removed symbols of which nothing is left here or in Redis.
        reads_time: whether the clock learns from this lane, once a second.
        buffer_entries: entries kept while the server is away; beyond that the oldest are dropped.

    Attributes:
        pending: what waits for that server.
    """

    def __init__(
        self,
        symbols: Collection[Instrument],
        streams: Streams,
        *,
        holdback: Holdback,
        on_newest: Callable[[Instrument, Id | None], None],
        on_gone: Callable[[Collection[Instrument]], None],
        clock: ServerClock,
        reads_time: bool,
        buffer_entries: int,
    ) -> None:
        self.pending = Pending(streams, clock.now_ms, buffer_entries)
        self._symbols = set(symbols)
        self._leaving: set[Instrument] = set()
        self._to_learn: set[Instrument] = set()
        self._lost = False
        self._on_gone = on_gone
        self._streams = streams
        self._holdback = holdback
        self._on_newest = on_newest
        self._clock = clock
        self._read_time_at = 0.0 if reads_time else math.inf
        self._packer = EntryPacker(symbols, streams)
        self._to_create: list[Entry] = []
        self._sending = False
        self._load_scripts = True
        self._logs = LogLimit()

    def add(self, symbols: Collection[Instrument]) -> None:
        """Bring the data of these symbols, too. They may have been removed before."""
        self._packer.add(symbols)
        self._symbols.update(symbols)
        self._to_learn.update(symbols)
        self._leaving.difference_update(symbols)
        for symbol in symbols:
            self.pending.keep(symbol)
        self.pending.work.set()

    def remove(self, symbols: Collection[Instrument]) -> None:
        """Drop what waits of these symbols and delete their keys, as soon as nothing of them is on its way."""
        self._leaving.update(symbols)
        self.pending.work.set()

    def hand_over(self, other: Mapping[Instrument, Pending]) -> None:
        """Let ``other[symbol]`` have everything of each symbol, in its order. Call it while nothing is being sent."""
        self.pending.put_back(self._to_create)
        self.pending.hand_over(other)

    @property
    def idle(self) -> bool:
        """Whether every entry was written."""
        return not (len(self.pending) or self._to_create or self._sending)

    async def run(self, open_connection: Opener, on_failure: Callable[[], None] = lambda: None) -> None:
        """Write until cancelled, and connect as often as it takes. What may not have been written is pending then."""
        await keep_connected(open_connection, self._serve, on_failure)

    async def _serve(self, connection: RawConnection) -> None:
        """Write over one connection until it fails."""
        self._lost = False
        self._load_scripts = True
        lost = await self._learn_state(connection, list(self._symbols))
        self.pending.write_hashes_again(self._symbols)
        metrics.redis_connects.inc()
        if (held_back := self._logs.allows("connected")) is not None:  # a server that takes no writes gets many
            extra = {"waiting": len(self.pending), "books_to_write": len(lost), "held_back": held_back}
            logger.info("connected to Redis", extra=extra)
        self._holdback.on_connected(self._symbols)
        work, loop = self.pending.work, asyncio.get_running_loop()
        work.set()
        next_at = loop.time()
        while True:
            await work.wait()
            if (early_s := next_at - loop.time()) > 0:
                await asyncio.sleep(early_s)
            next_at = loop.time() + FLUSH_S
            work.clear()
            while await self._send_batch(connection):
                pass
            if self._holdback:
                loop.call_later(ASK_EVERY_S, work.set)

    async def _learn_state(self, connection: RawConnection, symbols: Sequence[Instrument]) -> set[Instrument]:
        """Learn what this server has: its time, the newest id of each stream, and which books. What it lost is written again.

        Returns:
            The symbols of which it has lost something, or never had a book.
        """
        self._to_learn.difference_update(symbols)
        keys, diffs, trades = self._streams.keys, self._streams.diffs, self._streams.trades
        streams = [(diffs[symbol], keys.book(symbol), symbol) for symbol in symbols]
        streams += [(trades[symbol], keys.trades(symbol), symbol) for symbol in symbols]
        commands: list[Command] = [("TIME",)]
        commands += [append.top_command(key) for _, key, _ in streams]
        commands += [("EXISTS", keys.snapshot(symbol)) for symbol in symbols]
        started = time.monotonic()
        server_time, *replies = await connection.exchange(append.pack(commands), len(commands))
        self._observe_time(started, time.monotonic(), server_time)
        lost = {symbol for symbol, exists in zip(symbols, replies[len(streams) :], strict=True) if not exists}
        for (state, key, symbol), reply in zip(streams, replies, strict=False):
            if isinstance(reply, ResponseError):  # what is appended will be refused too, and counted
                self._log_refusal(key, reply)
            elif state.reconcile(append.newest_id(reply)):
                lost.add(symbol)
        for symbol in lost:
            self.pending.want_snapshot(symbol, metrics.SnapshotReason.LOST)
        return lost

    async def _catch_up(self, connection: RawConnection) -> None:
        """Do what may only be done between two batches: symbols come and go, and what Redis lost is found out."""
        if self._lost:  # under an open connection: a flush, or the keys of one symbol
            self._lost = False
            lost = await self._learn_state(connection, list(self._symbols))
            self.pending.write_hashes_again(self._symbols)
            names = {"symbols": sorted(lost)[:SHOWN_SYMBOLS], "count": len(lost)}
            logger.warning(
                "streams are gone from Redis (lost, or another ingest has removed the symbols): writing their books again",
                extra=names,
            )
        if self._to_learn:
            await self._learn_state(connection, list(self._to_learn))
        self.let_go()

    def let_go(self) -> None:
        """Drop what waits of symbols that were removed, and forget those whose keys are deleted.

        Call it while nothing is being sent.
        """
        if self._leaving:
            for symbol in self._leaving:
                self.pending.remove(symbol)
            self._to_create = [entry for entry in self._to_create if entry.symbol not in self._leaving]
            self._leaving.clear()
        if gone := self.pending.gone():
            self._symbols.difference_update(gone)
            for symbol in gone:
                self._packer.remove(symbol)
            self._on_gone(gone)

    async def _send_batch(self, connection: RawConnection) -> bool:
        """Send what is due, snapshots first; return whether there may be more that should not wait."""
        await self._catch_up(connection)
        pending = self.pending
        creating, self._to_create = pending.deletes() + self._to_create, []
        leases = self._streams.leases
        requests = pending.requests() + leases.requests(self._symbols)
        entries = pending.take(BATCH_ENTRIES)
        calls: Sequence[Call] = ()
        if leases:
            led_creating, creating = leases.part(creating)
            led, entries = leases.part(entries)
            calls = self._packer.calls(led_creating, led, load=self._load_scripts)
        asked = self._holdback.to_ask(self._symbols)
        read_time = time.monotonic() >= self._read_time_at
        if not (requests or creating or entries or calls or asked or read_time):
            return False
        commands: list[Command] = [("TIME",)] if read_time else []
        commands += [append.top_command(self._streams.keys.trades(symbol)) for symbol in asked]
        commands += [with_source(command) if self._load_scripts else command for command, _ in requests]
        text = append.pack(commands) + self._packer.pack(creating, entries) + b"".join([call.text for call in calls])
        entries = creating + entries
        started = time.monotonic()
        self._sending = True
        try:
            replies = await connection.exchange(text, len(commands) + len(entries) + len(calls))
            for call, reply in zip(calls, replies[len(replies) - len(calls) :], strict=True):
                call.check(reply)
        except (*REDIS_ERRORS, asyncio.CancelledError):
            pending.put_back(entries + [entry for call in calls for entry in call.entries])
            for _, on_reply in requests:
                on_reply(UNSENT)
            raise
        finally:
            self._sending = False
        ended = time.monotonic()
        metrics.append_latency.observe((ended - started) * 1000)
        if read_time:
            self._observe_time(started, ended, replies.pop(0))
        for symbol, reply in zip(asked, replies, strict=False):
            self._on_newest(symbol, append.newest_id(reply))
        del replies[: len(asked)]
        if requests or calls:
            self._load_scripts = False
        for (command, on_reply), reply in zip(requests, replies, strict=False):
            if append.unknown_script(reply):
                self._load_scripts = True
                on_reply(UNSENT)
                continue
            on_reply(reply)
            if isinstance(reply, ResponseError):
                self._log_refusal(str(command[1]), reply)
        del replies[: len(requests)]
        answered, answers = list(entries), replies[: len(entries)]
        for call, reply in zip(calls, replies[len(entries) :], strict=True):
            if (found := self._on_call(call, reply)) is not None:
                answered += call.entries
                answers += found
        self._on_replies(answered, answers)
        return bool(requests or calls or self._to_create) or len(entries) >= BATCH_ENTRIES

    def _on_call(self, call: Call, reply: Any) -> Sequence[Any] | None:
        """Take in Redis's reply to the entries of one symbol, which it took only under the symbol's lease.

        Returns:
            The reply to each of them; ``None`` if it took none.
        """
        if append.unknown_script(reply):
            self._load_scripts = True
            self.pending.put_back(call.entries)
        elif isinstance(reply, ResponseError):
            self._log_refusal(f"streams of {call.symbol}", reply)
            self.pending.drop(call.entries, metrics.EntryLost.REDIS_ERROR)
        else:
            replies: Sequence[Any] | None = self._streams.leases.on_fenced(call.symbol, call.token, reply)
            return replies
        return None

    def _on_replies(self, entries: Sequence[Entry], replies: Sequence[Any]) -> None:
        """Take in Redis's reply to each entry."""
        taken = copies = 0
        for entry, reply in zip(entries, replies, strict=True):
            state = entry.state
            if type(reply) is bytes:
                taken += 1
                state.acknowledged = (entry.time_ms, entry.sequence)
            elif reply is None:
                self._lost = self._lost or state.acknowledged is not None
                self._to_create.append(entry)
            elif append.refused(reply):
                copies += 1
                state.acknowledged = (entry.time_ms, entry.sequence)
            elif isinstance(reply, ResponseError):
                self._log_refusal(f"stream of {entry.symbol}", reply)
                self.pending.drop([entry], metrics.EntryLost.REDIS_ERROR)
            elif not entry.text:
                state.acknowledged = None
            else:
                raise TypeError(f"XADD was answered by {reply!r}")
        metrics.appended.inc(taken)
        metrics.duplicates.labels(metrics.Duplicate.REDIS).inc(copies)

    def _log_refusal(self, what: str, error: ResponseError) -> None:
        if (held_back := self._logs.allows("refused")) is not None:
            logger.error("Redis refused a write", extra={"what": what, "error": str(error), "held_back": held_back})

    def _observe_time(self, sent: float, received: float, reply: Any) -> None:
        if self._read_time_at == math.inf:
            return
        self._read_time_at = received + READ_TIME_EVERY_S
        if not isinstance(reply, ResponseError):
            seconds, microseconds = reply
            self._clock.observe(sent, received, int(seconds) * 1000 + int(microseconds) / 1000)
