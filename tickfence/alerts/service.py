"""The role as a whole: look at the reports, keep the firings, send."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from tickfence.alerts.delivery import Delivery
from tickfence.alerts.firing import Firing, Kind, Message, Outcome, State
from tickfence.alerts.ledger import Ledger
from tickfence.alerts.rules import Rule, Rules
from tickfence.alerts.watch import Watch
from tickfence.coordination.owner import Owner
from tickfence.monitoring import alerts_metrics as metrics
from tickfence.monitoring.log_limit import LogLimit
from tickfence.readers.data_plane import Unavailable
from tickfence.readers.reader import Reader
from tickfence.redis_access.connect import connect, forget_connections
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.outage import Outage
from tickfence.settings import Settings

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

TURN_S = 0.25
LOOK_S = 0.5
"""Time between two looks at the reports."""
FORGET_S = 300.0
"""A firing ends when its symbol had no report to act on for this long."""
AT_ONCE = 8
"""Attempts under way for one target, so that one that hangs takes neither threads nor sockets from the others."""
MOST_FIRINGS = 10_000
"""Above that nothing fires until some are over: a target that hangs does not fill the memory."""
FINISH_S = 12.0
"""How long attempts under way may take at the end: longer than one lasts."""


class Alerts:
    """Looks at the reports of a deployment, and tells the targets of its rules, while it has the lease.

    Args:
        settings: of the process.
        rules: what to look for.
        delivery: how targets are told.

    Raises:
        REDIS_ERRORS: the data plane is a cluster, and none of its nodes answers.
    """

    def __init__(self, settings: Settings, rules: Rules, delivery: Delivery) -> None:
        self._rules, self._delivery = rules, delivery
        name = settings.process_name("alerts")
        self._client = connect(settings.redis_url, name=name)
        self._reader = Reader(settings)
        again = frozenset(of for of, target in rules.targets.items() if target.at_least_once)
        self._ledger = Ledger(self._client, settings.keys, str(Owner.start(name)), settings.nt_lease_ttl_ms, again)
        # The ledger's own: hosts whose names are looked up take all of asyncio's while that hangs.
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._outage = Outage("the data plane", logger)
        self._full = LogLimit(60.0)
        self._watches: dict[tuple[str, str], Watch] = {}
        self._told_s: dict[str, float] = {}  # firing -> when a report last told of it, monotonic
        self._attempts: dict[asyncio.Task[Outcome], tuple[Firing, Message]] = {}
        self._changed: dict[str, Firing] = {}
        self._looked_at = 0.0
        self._stopping = False
        self._wake = asyncio.Event()
        self._leads: bool | None = None  # not known yet

    def stop(self) -> None:
        """Let :meth:`run` finish what is under way, give the lease back, and return."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Run until :meth:`stop`. An outage of Redis ends nothing."""
        ends_s = math.inf
        while not self._stopping or (self._attempts and time.monotonic() < ends_s):
            if self._stopping:  # keep the lease until it is known how the attempts under way end
                ends_s = min(ends_s, time.monotonic() + FINISH_S)
            pause_s = TURN_S
            try:
                await self._turn()
            except (*REDIS_ERRORS, Unavailable) as error:
                forget_connections(self._client)
                pause_s = self._outage.failed(error)
            else:
                self._outage.over()
                metrics.heartbeat.set_to_current_time()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause_s)
            self._wake.clear()
        await self._finish()

    async def _turn(self) -> None:
        holds = await self._in_thread(self._ledger.hold, time.monotonic())
        if holds != self._leads:
            self._leads = holds
            metrics.sender.set(holds)
            logger.info("sending alerts" if holds else "standing by: another instance sends alerts")
            self._watches.clear()
            self._told_s.clear()
            self._changed.clear()
        self._take_outcomes()
        metrics.firing.set(sum(each.ended_ms is None for each in self._ledger.firings.values()) if holds else 0)
        if not holds:
            return
        if not self._stopping and time.monotonic() - self._looked_at >= LOOK_S:
            self._looked_at = time.monotonic()
            await self._look()
        await self._send()

    async def _look(self) -> None:
        reports = await self._reader.all_reports()
        found = {each.symbol: each for each in reports.found if not each.fresh.stale}
        firing = {(each.rule, each.symbol): each for each in self._ledger.firings.values() if each.ended_ms is None}
        for each in firing.values():
            rule = self._rules.rules.get(each.rule)
            if rule is None or not rule.concerns(each.symbol):
                self._end(each, reports.now_ms, "there is no such rule any more")
        decoded: dict[str, Mapping[str, Any]] = {}
        asked = set(reports.asked)
        self._watches = {of: watch for of, watch in self._watches.items() if of[1] in asked}
        for name, rule in self._rules.rules.items():
            for symbol in asked.union(each for of, each in firing if of == name):
                if not rule.concerns(symbol):
                    continue
                report = found.get(symbol)
                if report is not None and symbol not in decoded:
                    decoded[symbol] = msgspec.json.decode(report.report)
                at_ms = reports.now_ms if report is None else report.head.updated_at
                of = name, symbol
                if of in firing:
                    self._judge(firing[of], rule, decoded.get(symbol), at_ms)
                elif (since := self._watches.setdefault(of, Watch(rule)).fires(decoded.get(symbol), at_ms)) is not None:
                    self._fire(name, symbol, at_ms, *since)

    def _fire(self, name: str, symbol: str, at_ms: int, since_ms: int, value: Any) -> None:
        if len(self._ledger.firings) >= MOST_FIRINGS:
            if self._full.allows("") is not None:
                logger.error("nothing fires any more: %d firings are not over", MOST_FIRINGS)
            return
        messages = [Message(target, Kind.FIRING) for target in self._rules.rules[name].targets]
        firing = Firing(f"{name}/{symbol}/{at_ms}", name, symbol, since_ms, at_ms, value, messages)
        self._ledger.firings[firing.id] = self._changed[firing.id] = firing
        del self._watches[name, symbol]
        logger.info("an alert fires", extra={"alert": firing.id})

    def _judge(self, firing: Firing, rule: Rule, report: Mapping[str, Any] | None, at_ms: int) -> None:
        met = rule.met_by(report, firing=True) if report is not None else None
        now_s = time.monotonic()  # Redis' clock may step
        told_s = self._told_s.setdefault(firing.id, now_s)
        if met is not None:
            self._told_s[firing.id] = now_s
            if not met:
                self._end(firing, at_ms)
        elif now_s - told_s > FORGET_S:
            self._end(firing, at_ms, "no report tells of it any more")

    def _end(self, firing: Firing, at_ms: int, reason: str = "") -> None:
        targets = self._rules.targets
        tell = [each.target for each in firing.messages if each.target in targets and targets[each.target].resolved]
        firing.end(at_ms, tell, reason)
        self._changed[firing.id] = firing
        self._told_s.pop(firing.id, None)
        logger.info("an alert is over", extra={"alert": firing.id, "reason": reason})

    async def _send(self) -> None:
        """Record what has changed and which attempts begin, and then begin them."""
        now_ms = int(time.time() * 1000)
        begin: list[tuple[Firing, Message]] = []
        places = dict.fromkeys(self._rules.targets, 0 if self._stopping else AT_ONCE)
        for _, message in self._attempts.values():
            places[message.target] -= 1
        for firing in self._ledger.firings.values():
            for message in firing.messages:
                if not message.over and message.target not in self._rules.targets:
                    message.state = State.REJECTED
                    self._changed[firing.id] = firing
            for message in firing.due(now_ms):
                if places[message.target] > 0:
                    places[message.target] -= 1
                    begin.append((firing, message))
        for firing, message in begin:
            message.begin()
            self._changed[firing.id] = firing
        changed = [each for each in self._changed.values() if self._ledger.firings.get(each.id) is each]
        if not changed:
            return
        recorded = False
        try:
            recorded = await self._in_thread(self._ledger.write, changed, time.monotonic())
        finally:
            if not recorded:
                for _, message in begin:
                    message.withdraw()
        if recorded:
            self._changed.clear()
            for firing, message in begin:
                attempt = asyncio.create_task(self._delivery.attempt(firing, message))
                # Its outcome is recorded at once: until then, nobody else could go on with it.
                attempt.add_done_callback(lambda _: self._wake.set())
                self._attempts[attempt] = firing, message

    def _take_outcomes(self) -> None:
        for task in [task for task in self._attempts if task.done()]:
            firing, message = self._attempts.pop(task)
            try:
                outcome = task.result()
            except Exception:  # Apprise's plugins are many
                logger.exception("an alert could not be sent", extra={"alert": firing.id, "target": message.target})
                outcome = Outcome.UNKNOWN
            target = self._rules.targets[message.target]
            message.ended(outcome, int(time.time() * 1000), at_least_once=target.at_least_once)
            metrics.attempts.labels(outcome).inc()
            if message.over and message.state is not State.ACCEPTED:
                metrics.lost.labels(message.state).inc()
                extra = {"alert": firing.id, "target": message.target, "attempts": message.attempts}
                logger.error("an alert is not sent again: %s", message.state, extra=extra)
            if self._ledger.firings.get(firing.id) is firing:
                self._changed[firing.id] = firing

    async def _finish(self) -> None:
        self._take_outcomes()
        try:
            if self._leads and self._changed:
                await self._in_thread(self._ledger.write, list(self._changed.values()), time.monotonic())
            await self._in_thread(self._ledger.give_back)
        except REDIS_ERRORS as error:
            logger.warning("cannot give the lease back, it ends by itself: %s", error)
        await self._delivery.close()
        await self._reader.close()

    async def _in_thread(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
