"""Trades that arrived without those before them wait a moment: another ingest may append those.

Ids in a stream only rise. An ingest that has just started or reconnected does not know the trades before its first
one. If it appended that one at once, the trades that the other ingest has on its way would be refused, and missing for
good. So it holds its trades back until the stream has the one before them.

Perhaps no ingest has that trade. When no stream it waits for has grown for a while, it stops waiting and appends its
own trades. If two ingests wait for each other, the first to give up may still overtake the other.

This is the hold-back queue of ordered multicast (Coulouris et al., "Distributed Systems", 5th ed., section 15.4).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from ingest.buffer import Entry
from tickfence.instrument import Instrument

STANDSTILL_S = 1.5
"""Nobody appends if nothing has grown for this long. Another ingest may lose a second with a connection that hangs."""
SHORT_STANDSTILL_S = 0.25
"""Instead, in the minute after waiting did not help."""
SHORT_FOR_S = 60.0
MAXIMUM_WAIT_S = 5.0
ASK_EVERY_S = 0.02
ASK_MAXIMUM = 100

Id = tuple[int, int]


class _Gap(NamedTuple):
    """This process received ``before`` and then ``first``, with other trades between the two."""

    before: int
    first: Id

    def closed_by(self, newest: Id) -> bool:
        """Whether the stream that ends with ``newest`` has all trades before ``first``.

        It has not if its numbers begin again.
        """
        return newest >= self.first or self.first[1] - 1 == newest[1]

    def missing(self, newest: Id) -> int:
        """How many trades are missing if ``first`` is appended after ``newest``."""
        return max(self.first[1] - 1 - max(self.before, newest[1]), 0)


@dataclass
class _Queue:
    """What waits for one stream."""

    gaps: deque[_Gap] = field(default_factory=deque)
    entries: deque[Entry] = field(default_factory=deque)
    since: float | None = None
    newest: Id | None = None


class Holdback:
    """The trades of one server's symbols that wait for the ones before them, while there is a connection to it.

    Args:
        limit: a number of entries. If more would wait, all of them go.
        clock: monotonic, in seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._queues: dict[Instrument, _Queue] = {}
        self._count = 0
        self._released: list[Entry] = []
        self._gave_up_at: dict[Instrument, float] = {}
        self._grew_at = 0.0
        self._ask_at = 0.0

    def __len__(self) -> int:
        return self._count

    @property
    def has_gaps(self) -> bool:
        """Whether trades must wait, also if they have not come yet."""
        return bool(self._queues)

    def expect(self, symbol: Instrument, before: int, first: Id) -> None:
        """Hold back the symbol's trades from the id ``first`` on until its stream has those after ``before``."""
        self._queues.setdefault(symbol, _Queue()).gaps.append(_Gap(before, first))

    def take(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return those of ``entries`` that need not wait; keep the others."""
        now, may_go = self._clock(), []
        for entry in entries:
            queue = None if entry.is_book else self._queues.get(entry.symbol)
            if queue is None or (entry.time_ms, entry.sequence) < queue.gaps[0].first:
                may_go.append(entry)
                continue
            queue.entries.append(entry)
            self._count += 1
            if queue.since is None:
                queue.since = now
        if self._count > self._limit:
            for symbol in list(self._queues):
                self._release(symbol)
        return may_go

    def to_ask(self) -> list[Instrument]:
        """Symbols whose newest trade in Redis `on_newest` should get now."""
        now = self._clock()
        if not self._count or now < self._ask_at:
            return []
        self._ask_at = now + ASK_EVERY_S
        asked = list(islice((symbol for symbol, queue in self._queues.items() if queue.entries), ASK_MAXIMUM))
        for symbol in asked:
            self._queues[symbol] = self._queues.pop(symbol)  # the others are next
        return asked

    def on_newest(self, symbol: Instrument, newest: Id | None) -> int:
        """Take in the newest id of the symbol's stream; ``None`` if there is no stream to wait for.

        Returns:
            How many trades are missing for good, because the symbol's trades do not wait any longer.
        """
        queue, now = self._queues[symbol], self._clock()
        assert queue.since is not None
        if newest is None:
            self._release(symbol)
            return 0
        if queue.newest is not None and queue.newest != newest:
            self._grew_at = now
        queue.newest = newest
        while queue.gaps and queue.gaps[0].closed_by(newest):
            queue.gaps.popleft()
            self._release(symbol, queue.gaps[0].first if queue.gaps else None)
            queue.since = now
        if not queue.gaps:
            return 0
        gave_up_lately = now < self._gave_up_at.get(symbol, -SHORT_FOR_S) + SHORT_FOR_S
        limit_s = SHORT_STANDSTILL_S if gave_up_lately else STANDSTILL_S
        stands_still = now - max(queue.since, self._grew_at) >= limit_s
        if stands_still:
            self._gave_up_at[symbol] = now
        if not stands_still and now - queue.since < MAXIMUM_WAIT_S:
            return 0
        missing = sum(gap.missing(newest) for gap in queue.gaps)
        self._release(symbol)
        return missing

    def released(self) -> list[Entry]:
        """What stopped waiting since the last call, in each symbol's order."""
        released, self._released = self._released, []
        return released

    def disconnected(self) -> list[Entry]:
        """Return all that waited: the connection ended, perhaps the other ingest's too. Its time to wait starts again."""
        entries = self.released()
        for queue in self._queues.values():
            entries += queue.entries
            queue.entries.clear()
            queue.since = queue.newest = None
        self._count = 0
        return entries

    def hand_over(self, other: Callable[[Instrument], Holdback]) -> None:
        """Let ``other(symbol)`` expect what this one expects. Call it after `disconnected`."""
        for symbol, queue in self._queues.items():
            for gap in queue.gaps:
                other(symbol).expect(symbol, *gap)
        self._queues.clear()

    def _release(self, symbol: Instrument, until: Id | None = None) -> None:
        """Let go what is before the id ``until``, or everything."""
        queue = self._queues[symbol]
        while queue.entries and (until is None or (queue.entries[0].time_ms, queue.entries[0].sequence) < until):
            self._released.append(queue.entries.popleft())
            self._count -= 1
        if until is None:
            del self._queues[symbol]
