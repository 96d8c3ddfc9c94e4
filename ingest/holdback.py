"""Trades that came without those before them wait a moment, for another ingest that may yet append those.

Ids in a stream only rise. An ingest that has just started, or reconnected, knows nothing of the trades before its
first one; if it appended that at once, what the other ingest has on its way would come too late and be refused, and
be missing for good. So it holds its trades back until the stream has the one before them. Nobody may have that one:
when no stream that is waited for has grown for a while, nobody is taken to append, and they go. Of two ingests that
both wait, the first to give up may still overtake the other.

A hold-back queue, as in ordered multicast (Coulouris et al., "Distributed Systems", 5th ed., section 15.4).
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
"""Another one's connection to Redis may hang for a second, and be made anew."""
AGAIN_S = 0.25
"""Instead, in the minute after it was in vain."""
IN_VAIN_S = 60.0
LONGEST_S = 5.0
ASK_EVERY_S = 0.02
ASK_MOST = 100

Id = tuple[int, int]


class _Gap(NamedTuple):
    """This process heard of ``before`` and then of ``first``, whose number is higher by more than one."""

    before: int
    first: Id

    def closed(self, top: Id) -> bool:
        """Whether the stream that ends with ``top`` has all before ``first``; not one whose numbers begin anew."""
        return top >= self.first or self.first[1] - 1 == top[1]

    def missing(self, top: Id) -> int:
        return max(self.first[1] - 1 - max(self.before, top[1]), 0)


@dataclass
class _Held:
    """What waits for one stream."""

    gaps: deque[_Gap] = field(default_factory=deque)
    entries: deque[Entry] = field(default_factory=deque)
    since: float | None = None
    top: Id | None = None


class Holdback:
    """The trades of one server's symbols that wait for the ones before them, while there is a connection to it.

    Parameters:
        limit: of entries; what would be more makes all of them go.
        clock: monotonic, in seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._held: dict[Instrument, _Held] = {}
        self._count = 0
        self._released: list[Entry] = []
        self._in_vain_at: dict[Instrument, float] = {}
        self._moved_at = 0.0
        self._ask_at = 0.0

    def __len__(self) -> int:
        return self._count

    @property
    def expects(self) -> bool:
        """Whether anything has to wait, be it here already or not."""
        return bool(self._held)

    def expect(self, symbol: Instrument, before: int, first: Id) -> None:
        """The symbol's trades from the id ``first`` on are to wait until its stream has those behind ``before``."""
        self._held.setdefault(symbol, _Held()).gaps.append(_Gap(before, first))

    def take(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those of ``entries`` that need not wait; the others wait here from now on."""
        now, may_go = self._clock(), []
        for entry in entries:
            held = None if entry.is_book else self._held.get(entry.symbol)
            if held is None or (entry.time_ms, entry.sequence) < held.gaps[0].first:
                may_go.append(entry)
                continue
            held.entries.append(entry)
            self._count += 1
            if held.since is None:
                held.since = now
        if self._count > self._limit:
            for symbol in list(self._held):
                self._release(symbol)
        return may_go

    def to_ask(self) -> list[Instrument]:
        """Symbols of which `saw` should be told the end of the trades stream now."""
        now = self._clock()
        if not self._count or now < self._ask_at:
            return []
        self._ask_at = now + ASK_EVERY_S
        asked = list(islice((symbol for symbol, held in self._held.items() if held.entries), ASK_MOST))
        for symbol in asked:
            self._held[symbol] = self._held.pop(symbol)  # the others are next
        return asked

    def saw(self, symbol: Instrument, top: Id | None) -> int:
        """The stream's newest id is ``top`` (None: there is no stream to wait for).

        Returns how many trades will be missing because they are waited for no more.
        """
        held, now = self._held[symbol], self._clock()
        assert held.since is not None
        if top is None:
            self._release(symbol)
            return 0
        if held.top is not None and held.top != top:
            self._moved_at = now
        held.top = top
        while held.gaps and held.gaps[0].closed(top):
            held.gaps.popleft()
            self._release(symbol, held.gaps[0].first if held.gaps else None)
            held.since = now
        if not held.gaps:
            return 0
        patience = AGAIN_S if now < self._in_vain_at.get(symbol, -IN_VAIN_S) + IN_VAIN_S else STANDSTILL_S
        stands_still = now - max(held.since, self._moved_at) >= patience
        if stands_still:
            self._in_vain_at[symbol] = now
        if not stands_still and now - held.since < LONGEST_S:
            return 0
        missing = sum(gap.missing(top) for gap in held.gaps)
        self._release(symbol)
        return missing

    def released(self) -> list[Entry]:
        """What waits no more since the last call, in each symbol's order."""
        released, self._released = self._released, []
        return released

    def disconnected(self) -> list[Entry]:
        """The connection ended, maybe another one's as well: all that waited. It will wait anew from the next on."""
        entries = self.released()
        for held in self._held.values():
            entries += held.entries
            held.entries.clear()
            held.since = held.top = None
        self._count = 0
        return entries

    def hand_over(self, other: Callable[[Instrument], Holdback]) -> None:
        """``other(symbol)`` expects from now on what this one did; after `disconnected`."""
        for symbol, held in self._held.items():
            for gap in held.gaps:
                other(symbol).expect(symbol, *gap)
        self._held.clear()

    def _release(self, symbol: Instrument, until: Id | None = None) -> None:
        """Let go what is before the id ``until``, or everything."""
        held = self._held[symbol]
        while held.entries and (until is None or (held.entries[0].time_ms, held.entries[0].sequence) < until):
            self._released.append(held.entries.popleft())
            self._count -= 1
        if until is None:
            del self._held[symbol]
