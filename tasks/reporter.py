"""One symbol on this node: its lease, its market data, and what is written of it. No I/O.

A reporter returns commands and takes their replies. :mod:`tasks.cycles` sends them, those of many reporters in one
round trip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import partial
from typing import Any

from tasks.extensions import Extensions
from tasks.retry import Retry
from tasks.symbol_events import Event, Kind, Note
from tasks.symbol_history import SymbolHistory
from tasks.warm_symbol import WarmSymbol
from tickfence.analytics import carry, report, slow_cycle
from tickfence.analytics.market import SlowMarket
from tickfence.coordination.lease import Acquired, Lease, Write, Written, parse_grant
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.redis_access.command import Request
from tickfence.redis_access.errors import ResponseError, cannot_serve
from tickfence.streams.codec import BadEntry

Values = dict[str, bytes]
"""Key -> value, all in the slot of one symbol's report."""

Compute = Callable[["Reporter", int, float], Values]
"""Finds what to write, given the Redis server's time (ms) and monotonic seconds."""


class Progress(Enum):
    """How far a reporter has come in a cycle, once it has taken its replies."""

    READY = auto()
    """It may compute and write."""
    AGAIN = auto()
    """It has found a gap: let it read once more, from the snapshot, rather than lose a cycle."""
    STOPPED = auto()
    """Nothing is to be written in this cycle."""
    MOVED = auto()
    """The symbol is another owner's now: forget it."""


class Reporter:
    """Reports on one symbol.

    Args:
        symbol: what it reports on.
        keys: of the deployment.
        lease: what its writes need.
        history: what its writes append.
        carry_every_s: how often it leaves what a new owner cannot read from the streams.
        note: is called with what happens.
        extensions: the sections of other packages.

    Attributes:
        warm: the market data.
        computed_ms: server ms as of which the last values were computed.

    Example:
        >>> reporter = Reporter(Instrument("BTCUSDT"), Keys(), lease, history, carry_every_s=5, note=print)
        >>> requests = reporter.read(generation=1, now_ms=1_700_000_000_000, now_s=10.0)
        >>> if reporter.take(requests, send(command for command, _ in requests)) is Progress.READY:
        ...     values = reporter.compute(Reporter.report, 1_700_000_000_001, 10.001)
        ...     write = values and reporter.write(values)
    """

    def __init__(
        self,
        symbol: Instrument,
        keys: Keys,
        lease: Lease,
        history: SymbolHistory,
        *,
        carry_every_s: float,
        note: Note,
        extensions: Extensions | None = None,
    ) -> None:
        self.symbol, self.lease = symbol, lease
        self._history = history
        self.warm = WarmSymbol(symbol, keys, note)
        self._keys = keys
        self.computed_ms = 0
        self._told_ms: int | None = None  # the exchange's time of the newest event in an accepted report
        self._node = lease.owner.node
        self._report_key = keys.report(symbol)
        self._carry_every_s, self._carried_at = carry_every_s, -math.inf
        self._note, self._extensions = note, extensions
        self._reading = Retry()
        self._computing: dict[Compute, Retry] = {}
        self._pausing = False

    def read(self, generation: int, now_ms: int, now_s: float, *, rules: bool = False) -> list[Request]:
        """The commands of round trip 1: the lease if it must be asked for, and what is new of the market.

        Args:
            generation: of the assignment that gives this node the symbol.
            now_ms: the Redis server's time.
            now_s: monotonic seconds.
            rules: read the exchange's rules in any case, not only when it is time to.
        """
        self._pausing = now_s < self._reading.at
        requests = [] if self._pausing else self.warm.read(now_ms, now_s, rules=rules)
        acquire = self.lease.acquire(generation)
        if acquire is not None:
            requests.insert(0, (acquire, partial(self._take_grant, now_s)))
        return requests

    def take(self, requests: Sequence[Request], replies: Sequence[Any], now_s: float) -> Progress:
        """Take the replies to :meth:`read`, in order; an error stands in its reply's place.

        Raises:
            redis.exceptions.RedisError: the server cannot serve now; that is no fault of the symbol's keys.
        """
        was_cold = self.warm.cold
        if not self.lease.asked:
            self.lease.granted(None, now_s)
        try:
            for (_, take), reply in zip(requests, replies, strict=True):
                take(reply)
        except _Stop as stop:
            return stop.progress
        except (BadEntry, ResponseError) as error:  # one key that is not what it should be stops one symbol
            if cannot_serve(error):
                raise
            self._note(Event(Kind.BAD_ENTRY, self.symbol, str(error)))
            self.warm.invalidate("bad entry")
            self._reading.failed(now_s)
            return Progress.STOPPED
        if self.warm.starts:
            self._history.add_starts(self.warm.starts, self.lease.token)
            self.warm.starts.clear()
        if self._pausing:  # the lease has been asked for: the symbol stays with this node
            self._note(Event(Kind.PAUSE, self.symbol))
            return Progress.STOPPED
        return Progress.AGAIN if self.warm.cold and not was_cold else Progress.READY

    def compute(self, values: Compute, now_ms: int, now_s: float) -> Values | None:
        """The values to write, or ``None`` while the book cannot be trusted.

        Args:
            values: :meth:`report` or :meth:`sections`.
            now_ms: the Redis server's time.
            now_s: monotonic seconds.
        """
        state = self.warm.state
        failed = self._computing.get(values)
        if failed is not None and now_s < failed.at:
            self._note(Event(Kind.PAUSE, self.symbol))
            return None
        if self.warm.cold:
            self._note(Event(Kind.NO_SNAPSHOT, self.symbol))
            return None
        if not state.publishable:
            crossed = state.book.crossed
            self._note(Event(Kind.CROSSED if crossed else Kind.HORIZON, self.symbol))
            self.warm.invalidate("book" if crossed else "horizon")  # no update is missing: only a snapshot mends that
            return None
        self.computed_ms = now_ms
        return values(self, now_ms, now_s)

    def write(self, values: Values) -> Write:
        """The write of what :meth:`compute` has just returned, and of the history that goes with it."""
        return self.lease.next_write(values, self.warm.state.book.last_update_id, self._history.entries())

    def written(self, write: Write, outcome: Written, now_s: float) -> Progress:
        """Take the outcome of a write: ready for the next one, to acquire again at once, or stopped by the fence."""
        if self.lease.outcome(outcome, now_s):
            if self.warm.carry_key in write.values:
                self._carried_at = now_s
            self._history.accepted(write)
            return Progress.READY
        self._history.refused(write)
        if not self.lease.asked:
            return Progress.AGAIN
        self._note(Event(Kind.FENCED, self.symbol, token=write.token))
        return Progress.STOPPED

    def fail(self, error: Exception, now_s: float, values: Compute | None = None) -> None:
        """Take an exception of one of the other methods: nothing is written in this cycle, and the state is built again.

        What was interrupted may have been done by half, and a report from such a state may be false. The lease is kept.

        Args:
            error: the exception.
            now_s: monotonic seconds.
            values: what could not be computed, so that what else is computed goes on. ``None`` where the market data
                could not be read: then nothing can be computed before the next attempt.
        """
        retry = self._reading if values is None else self._computing.setdefault(values, Retry())
        retry.failed(now_s)
        self.warm = WarmSymbol(self.symbol, self._keys, self._note)
        self.warm.invalidate("error")
        self._note(Event(Kind.ERROR, self.symbol, f"{type(error).__name__}: {error}", error=error))

    def report(self, now_ms: int, now_s: float) -> Values:  # noqa: ARG002 - as sections()
        """The report, which the fast cycle writes."""
        made = report.make(self.warm.state, now_ms, self._node, self.lease.token)
        data = report.encode(made)
        if self._history.due(now_ms):
            self._history.add_report(made, data, self.warm)
        if self._extensions is not None:
            data = self._extensions.report(data, self.warm.state, now_ms)
        return {self._report_key: data}

    def sections(self, now_ms: int, now_s: float) -> Values:
        """The slow sections, which every report of the next two seconds repeats; now and then the carry as well."""
        state = self.warm.state
        market, carried = SlowMarket(state, now_ms), None
        sections = slow_cycle.run(state, now_ms, market)
        values = {self.warm.slow_key: sections}
        if self._extensions is not None:
            values[self.warm.slow_key] = self._extensions.sections(sections, state, market)
        # The streams keep the diffs of three snapshot intervals, so a new owner finds those that follow on a carry.
        if now_s - self._carried_at >= self._carry_every_s:
            values[self.warm.carry_key] = carried = carry.dump(state, now_ms)
        self._history.add_sections(now_ms, sections, carried, self.warm, self.lease.token)
        return values

    @property
    def data_age_ms(self) -> int | None:
        """Age of the newest market data in the last values, as of their computation; ``None`` where there is none."""
        newest_ms = self.warm.state.last_update_ms
        return None if newest_ms is None else max(0, self.computed_ms - newest_ms)

    def news_age_ms(self) -> int | None:
        """Age of the newest event in the report that was accepted last, by the exchange's clock, as of its computation.

        Ask once for each report: ``None`` where the report before had the same newest event, or was another node's.
        """
        before_ms, self._told_ms = self._told_ms, self.warm.state.market_ms(0)
        news = before_ms is not None and self._told_ms > before_ms
        return max(0, self.computed_ms - self._told_ms) if news else None

    def _take_grant(self, now_s: float, reply: Any) -> None:
        if isinstance(reply, Exception):
            if cannot_serve(reply):
                raise reply
            self._note(Event(Kind.BAD_LEASE, self.symbol, f"{self.lease.key}: {reply}"))
            raise _Stop(Progress.STOPPED)
        grant = parse_grant(reply)
        moved = self.lease.moved(grant)
        granted = self.lease.granted(grant, now_s)
        if grant.outcome in _NOTED:
            self._note(Event(_NOTED[grant.outcome], self.symbol, grant.holder, grant.token))
        if not granted:
            raise _Stop(Progress.MOVED if moved else Progress.STOPPED)


_NOTED = {
    Acquired.TAKEN: Kind.LEASE_TAKEN,
    Acquired.STALE: Kind.LEASE_STALE,
    Acquired.CONFLICT: Kind.LEASE_CONFLICT,
}


class _Stop(Exception):
    """The lease was refused, so the replies behind that one are not taken."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(progress)
        self.progress = progress
