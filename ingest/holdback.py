"""Trades that came without those before them wait a moment, for another ingest that may yet append those.

Ids in a stream only rise. An ingest that has just started, or reconnected, knows nothing of the trades before its
first one; if it appended that at once, what the other ingest has on its way would come too late and be refused, and
be missing for good. So it holds its trades back until the stream has the one before them. Nobody may have that one:
then the stream's end stands still, and they go.

A hold-back queue, as in ordered multicast (Coulouris et al., "Distributed Systems", 5th ed., section 15.4).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ingest.buffer import Entry

STANDSTILL_S = 1.0
LONGEST_S = 5.0
ASK_EVERY_S = 0.02
NOT_AGAIN_S = 60.0
"""After it was in vain: nobody has what is missing, and more may be."""


@dataclass
class _Held:
    """What waits for one stream to have the trade ``after``; ``first`` is the id of the first that has to."""

    first: tuple[int, int]
    after: int
    entries: list[Entry] = field(default_factory=list)
    since: float | None = None
    moved_at: float = 0.0
    top: tuple[int, int] | None = None


class Holdback:
    """The trades of one server's symbols that wait for the ones before them.

    Parameters:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._free: list[Entry] = []
        self._not_before: dict[str, float] = {}
        self._ask_at = 0.0

    def __len__(self) -> int:
        return len(self._free) + sum(len(held.entries) for held in self._held.values())

    def __bool__(self) -> bool:
        return bool(self._held or self._free)

    def expect(self, symbol: str, first: tuple[int, int], after: int) -> None:
        """The symbol's trades from the id ``first`` on are to wait until its stream has the trade ``after``."""
        held = self._held.get(symbol)
        if held is not None:
            held.after = max(held.after, after)
        elif self._clock() >= self._not_before.get(symbol, 0.0):
            self._held[symbol] = _Held(first, after)

    def begin_anew(self) -> None:
        """A connection to Redis was made: whoever else appends may have been without one, too."""
        for held in self._held.values():
            held.since = None

    def take(self, entries: Sequence[Entry]) -> list[Entry]:
        """What may be appended now: what waited long enough, then those of ``entries`` that need not wait."""
        now = self._clock()
        may_go, self._free = self._free, []
        for entry in entries:
            held = None if entry.is_book else self._held.get(entry.symbol)
            if held is None or (entry.time_ms, entry.sequence) < held.first:
                may_go.append(entry)
                continue
            held.entries.append(entry)
            if held.since is None:
                held.since = held.moved_at = now
        return may_go

    def to_ask(self) -> list[str]:
        """Symbols of which `saw` should be told the end of the trades stream now."""
        now = self._clock()
        if not self._held or now < self._ask_at:
            return []
        self._ask_at = now + ASK_EVERY_S
        return [symbol for symbol, held in self._held.items() if held.entries]

    def saw(self, symbol: str, top: tuple[int, int] | None) -> int:
        """The stream's newest id is ``top`` (None: there is no stream to wait for).

        Returns how many trades before the first are missing for good, 0 while there is hope.
        """
        held, now = self._held[symbol], self._clock()
        if held.since is None:
            held.since = held.moved_at = now
        if top is None or top[1] >= held.after:
            self._release(symbol)
            return 0
        if top != held.top:
            held.top, held.moved_at = top, now
        if now - held.moved_at < STANDSTILL_S and now - held.since < LONGEST_S:
            return 0
        self._not_before[symbol] = now + NOT_AGAIN_S
        self._release(symbol)
        return held.after - top[1]

    def hand_over(self, other: Callable[[str], Holdback]) -> list[Entry]:
        """All that waits, in each symbol's order, to be given to ``other(symbol)``, which now expects what this did."""
        entries, self._free = self._free, []
        for symbol, held in self._held.items():
            entries += held.entries
            other(symbol).expect(symbol, held.first, held.after)
        self._held.clear()
        return entries

    def _release(self, symbol: str) -> None:
        self._free += self._held.pop(symbol).entries
