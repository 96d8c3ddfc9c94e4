"""One era after the other: a new exchange each, followed by the real ingest and the real node, and every report checked.

`install` of `virtual_time` must have been called, and `REDIS_URL` be set, before this is imported.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random as global_random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple, cast

import aiohttp
import redis

from ingest.service import Ingest
from tasks.cycles import FAST, SLOW, Cycle, run_cycle
from tasks.node import Node
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.dispatch import Dispatch
from tickfence.instrument import Instrument
from tickfence.monitoring import node_metrics
from tickfence.redis_access.raw_connection import RawConnection
from tickfence.settings import Settings
from tools.fuzz import oracle
from tools.fuzz.faults import Faults
from tools.fuzz.okx import OkxVenue
from tools.fuzz.oracle import Difference, Report
from tools.fuzz.venue import Venue
from tools.fuzz.virtual_time import VirtualTime
from tools.fuzz.world import KINDS, Market

SLOW_EVERY_BEATS = 20
NEVER_LATE_MS = 3_600_000
VENUES: dict[str, type[Venue]] = {venue.name: venue for venue in (Venue, OkxVenue)}


class Violation(Exception):
    """A report that is not true, with all that is needed to see it again."""


class Scene(NamedTuple):
    """What an era is like.

    Attributes:
        kinds: the kind of each market.
        beat_s: from one diff to the next.
        busy: how much happens, as a multiple of the usual.
        fault_rate: faults a second.
        skew_ms: how far the exchange's clock is behind.
        delay_s: how long a message is on its way. Nothing arrives in the last 30 ms before a cycle: it may still be
            on its way to Redis.
    """

    kinds: tuple[str, ...]
    beat_s: float
    busy: float
    fault_rate: float
    skew_ms: int
    delay_s: float


def scenes(random: Random) -> Scene:
    """A random scene."""
    chance, all_kinds = random.random(), list(KINDS)
    way = random.choice((0, 0, 40, 15_000, -15_000, 3_600_000)), random.choice((0.0, 0.0, 0.01, 0.07, 0.28))
    if chance < 0.15:  # so many symbols that snapshots have 100 levels
        return Scene(tuple(random.choices(all_kinds, k=200)), 0.1, 1.0, 2.0, *way)
    if chance < 0.3:  # so slow that the longest windows fill
        return Scene(tuple(all_kinds), 1.0, 3.0, 0.02, *way)
    busy = random.choice((1.0, 2.0, 4.0))
    if chance < 0.4:  # without faults
        return Scene(tuple(all_kinds), 0.1, busy, 0.0, *way)
    return Scene((*all_kinds, *random.choices(all_kinds, k=4)), 0.1, busy, random.choice((0.1, 0.3, 1.0)), *way)


@dataclass
class Tally:
    """What a run has found.

    Attributes:
        messages: given to ingest.
        reports: checked.
        profiles: checked, among them.
        flows: with a whole flow, among them.
        possible: cycles in which there could be a report.
        there: those among them in which there was one.
        false: numbers that are not true, by name.
        excused: reports that differ in what nobody could know yet: a change of the book that the exchange did not tell,
            or a single trade that was lost.
        faults: how often each kind occurred.
        virtual_s: how long the exchange's time went on.
    """

    messages: int = 0
    reports: int = 0
    profiles: int = 0
    flows: int = 0
    possible: int = 0
    there: int = 0
    false: Counter[str] = field(default_factory=Counter)
    excused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    virtual_s: float = 0.0


class StillClock(ServerClock):
    """The Redis server's time, if the server lived in this process's virtual time."""

    def observe(self, sent: float, received: float, server_ms: float) -> None:
        """Learn nothing: the real server lives in real time."""


class Era:
    """One exchange, the ingest that follows it, and the nodes.

    Args:
        clock: of the process.
        url: of a Redis server, which is emptied.
        seed: decides everything.
        kind: whose dialect the exchange has.
        tally: is added to.
        go_on: whether to go on after a report that is not true.
        show: prints a line.
    """

    def __init__(
        self,
        clock: VirtualTime,
        url: str,
        seed: str,
        kind: type[Venue],
        tally: Tally,
        *,
        go_on: bool,
        show: Callable[[str], None],
    ) -> None:
        self.go_on, self.show = go_on, show
        self.random = random = Random(seed)
        self._restart = asyncio.Event()
        global_random.seed(seed)  # the product's jitter
        self.seed, self.tally, self.clock = seed, tally, clock
        self.scene = scene = scenes(random)
        keep = 300 if len(scene.kinds) > 20 else 1200
        markets = {
            symbol: Market(symbol, KINDS[name], random, keep)
            for number, name in enumerate(scene.kinds)
            for symbol in [kind.symbol(f"F{number:03}{name.upper()}")]
        }
        self.venue = kind(clock, markets, random, skew_ms=scene.skew_ms, delay_s=scene.delay_s)
        self.venue.least_gap_s = 1.2 * scene.beat_s
        self.faults = Faults(
            clock,
            self.venue,
            random,
            empty_redis=self._empty_redis,
            replace_node=self._replace_node,
            restart_ingest=self._restart.set,
            rate=scene.fault_rate,
            beat_s=scene.beat_s,
            untold=len(markets) <= 20,
        )
        self.settings = Settings.from_environment({"REDIS_URL": url, "SYMBOLS": ",".join(markets), **kind.urls})
        self.redis = redis.Redis.from_url(url)
        self._generation = 0
        self._node: Node
        self._written: dict[str, tuple[bytes, bytes]] = {}
        self._steps = 0

    async def run(self, messages: int) -> None:
        """Let about so many messages come.

        Raises:
            Violation: a report is not true.
        """
        self._empty_redis()
        self._replace_node()
        ingest = asyncio.create_task(self._ingest())
        started_s, until = self.clock.now_s, self.tally.messages + messages
        before = self.tally.messages
        try:
            while self.tally.messages < until:
                await self._beat()
                self.tally.messages = before + self.venue.messages
                if ingest.done():
                    raise Violation(f"{self.seed}: ingest ended: {ingest.exception()!r}")
        finally:
            ingest.cancel()
            await asyncio.gather(ingest, return_exceptions=True)
            self.redis.close()
        self.tally.virtual_s += self.clock.now_s - started_s
        self.tally.faults += self.faults.counts

    async def _beat(self) -> None:
        """Move every market twice, send the diffs, and perhaps run a cycle."""
        beat_s, venue = self.scene.beat_s, self.venue
        self._steps += 1
        self.faults.step(beat_s)
        for _ in range(2):
            await asyncio.sleep(0.3 * beat_s)
            for symbol, market in venue.markets.items():
                trades = market.step(venue.ms, self.scene.busy)
                if trades:
                    venue.tell_trades(symbol, trades)
        for symbol in venue.markets:
            venue.tell_diff(symbol)
        each = max(1, round(1 / beat_s))
        for symbol in list(venue.markets)[self._steps % each :: each]:
            venue.tell_ticker(symbol)
        await asyncio.sleep(0.4 * beat_s)
        if beat_s > 0.1 or self._steps % 5 in (0, 2):
            slow = self._steps % SLOW_EVERY_BEATS == 0
            if slow:
                self._cycle(SLOW)
            self._cycle(FAST)
            self._check(profiles=slow)

    async def _ingest(self) -> None:
        """Keep one ingest running."""
        while True:
            self._restart.clear()
            ingest = asyncio.create_task(Ingest(self.settings, StillClock(), self._open_session).run())
            restart = asyncio.create_task(self._restart.wait())
            try:
                await asyncio.wait({ingest, restart}, return_when=asyncio.FIRST_COMPLETED)
                if ingest.done():
                    ingest.result()
                    raise RuntimeError("it returned")
            finally:
                restart.cancel()
                ingest.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await ingest
            for socket in list(self.venue.sockets):
                socket.end(1006)
            await asyncio.sleep(self.random.uniform(0.1, 3.0))

    def _open_session(self, url: str) -> aiohttp.ClientSession:  # noqa: ARG002 - it has one address
        return cast(aiohttp.ClientSession, self.venue)

    def _cycle(self, cycle: Cycle) -> None:
        node = self._node
        dispatch = Dispatch(str(node.owner), self._generation, 1, node.clock.now_ms())
        run_cycle(node, cycle, [*map(Instrument, self.venue.markets)], dispatch, NEVER_LATE_MS)

    def _check(self, *, profiles: bool) -> None:
        """Check every report that this cycle has written."""
        keys, symbols = self.settings.keys, [*map(Instrument, self.venue.markets)]
        pipe = self.redis.pipeline(transaction=False)
        for symbol in symbols:
            pipe.get(keys.report(symbol))
            pipe.hget(keys.lease(symbol), "basis")
            pipe.get(keys.slow(symbol))
        replies = pipe.execute()
        now_ms = self.clock.now_ms()
        for symbol, text, basis, slow in zip(symbols, replies[::3], replies[1::3], replies[2::3], strict=True):
            report = json.loads(text or b"{}")
            there = report.get("updatedAt") == now_ms
            if self.faults.could_report(symbol):
                self.tally.possible += 1
                self.tally.there += there
            if there:
                just_now = profiles and json.loads(slow or b"{}").get("computed_at") == now_ms
                self._compare(symbol, report, int(basis), profiles=just_now)

    def _compare(self, symbol: str, report: Report, update_id: int, *, profiles: bool) -> None:
        market = self.venue.markets[symbol]
        self.tally.reports += 1
        self.tally.flows += "net_flow" in report.get("flow", {})
        differences = list(oracle.of_book(report, market, update_id))
        shown = market.shown.get(update_id)
        if shown is not None and not shown.told:
            self.tally.excused += bool(differences)
            differences.clear()
        of_trades = list(oracle.of_trades(report, market, self.venue.matches))
        differences += oracle.of_ticker(report, self.venue.tickers[symbol])
        profile = report.get("liquidity", {}).get("volume_profile")
        if profiles and profile is not None and self.venue.matches == 1:
            self.tally.profiles += 1
            of_trades += oracle.of_profile(profile, market, report["ingestion"]["exchange_time"])
        if self.clock.now_s < self.venue.trades_unsure_until_s[symbol]:
            self.tally.excused += bool(of_trades)
            of_trades.clear()
        differences += of_trades
        for difference in differences:
            self.tally.false[difference.what] += 1
            violation = Violation(self._told(symbol, update_id, difference))
            if not self.go_on:
                raise violation
            if self.tally.false[difference.what] == 1:
                self.show(f"NOT TRUE: {violation}")

    def _told(self, symbol: str, update_id: int, difference: Difference) -> str:
        return (
            f"seed {self.seed}, step {self._steps}, {symbol}, update id {update_id}: {difference.what}\n"
            f"  reported  {difference.reported}\n  true      {difference.true}"
        )

    def _empty_redis(self) -> None:
        self.redis.flushall()

    def _replace_node(self) -> None:
        self._generation += 1
        self._node = Node(self.settings, f"node-{self._generation % 3 + 1:03}")
        self._node.clock = StillClock()


def run(
    clock: VirtualTime,
    url: str,
    seed: str,
    kinds: Sequence[str],
    *,
    messages: int,
    of_era: int,
    go_on: bool,
    show: Callable[[str], None],
) -> Tally:
    """Run eras until there were so many messages.

    Args:
        clock: installed in this process.
        url: of a Redis server of this run's own.
        seed: decides everything. That of one era, such as 7.3, runs this era again.
        kinds: of the exchanges, in turn: names of `VENUES`.
        messages: how many.
        of_era: how many of one exchange.
        go_on: whether to go on after a report that is not true.
        show: prints a line.

    Raises:
        Violation: a report is not true.
    """
    for name in ("exchange", "open"):  # whatever waits for Redis waits in real time
        call: Any = getattr(RawConnection, name)
        bound = clock.stands_still_during(getattr(call, "__func__", call))
        setattr(RawConnection, name, classmethod(bound) if name == "open" else bound)
    tally, number = Tally(), 0
    while tally.messages < messages:
        started = time.perf_counter()
        era = seed if "." in seed else f"{seed}.{number}"
        kind = VENUES[kinds[int(era.partition(".")[2]) % len(kinds)]]
        with asyncio.Runner(loop_factory=clock.loop) as runner:
            one = Era(clock, url, era, kind, tally, go_on=go_on, show=show)
            runner.run(one.run(min(of_era, messages - tally.messages)))
        show(
            f"era {era}: {kind.name}, {one.scene.beat_s} s, {len(one.scene.kinds)} symbols, {one.venue.messages} messages, "
            f"{sum(one.faults.counts.values())} faults, {time.perf_counter() - started:.1f} s"
        )
        number += 1
        if era == seed:
            break
    if errors := _withheld_by_errors():
        raise Violation(f"seed {seed}: {errors:.0f} reports were withheld because of errors; see the log (--verbose)")
    return tally


def _withheld_by_errors() -> float:
    return node_metrics.registry.get_sample_value("nt_reports_withheld_total", {"reason": "error"}) or 0.0
