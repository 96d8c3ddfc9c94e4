"""Which entries no recorder has read before Redis trimmed them. No I/O.

A stream loses its oldest entries only, and a read returns what is behind a position without a break. So entries that were
in the stream are missing only between the position and the first entry of a read, and only if the stream does not hold
the position any more. What it never held, ingest counts.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from tickfence.recorder.frames import Entry
from tickfence.recordings.kinds import Kind
from tickfence.redis_access.command import Request, checked
from tickfence.streams.codec import split_id

PAUSE_MS = 10_000
"""Entries without numbers that are closer than this follow each other: streams of such are kept much longer."""


class Gap(NamedTuple):
    """Entries that are missing.

    Attributes:
        kind: of the entries.
        after: id of the last one before them.
        before: id of the first one behind them.
    """

    kind: str
    after: str
    before: str


class Gaps:
    """What is missing of one source, as one recorder finds it.

    A recorder that was frozen may find what another one has read meanwhile. So a gap counts once the note of what stands
    behind it is accepted.

    Attributes:
        missed: gaps that count and were not told yet.
    """

    def __init__(self) -> None:
        self.missed: list[Gap] = []
        self._suspected: list[tuple[str, Gap]] = []
        self._read: list[Gap] = []
        self._logged: list[Gap] = []

    def reading(self) -> None:
        """A read begins. What the one before found and did not log is found again."""
        self._suspected, self._read = [], []

    def look(self, kind: str, key: str, position: str | None, first: Entry) -> None:
        """Compare the first entry of a read from the stream at ``key`` with the position that was read from."""
        if position is not None and not follows(kind, position, first):
            self._suspected.append((key, Gap(kind, position, first[0].decode())))

    def ask(self) -> list[Request]:
        """Ask whether the streams still hold the positions behind which something may be missing."""
        return [
            (("XRANGE", key, gap.after, gap.after, "COUNT", 1), partial(self._take, gap))
            for key, gap in self._suspected
        ]

    def logged(self) -> None:
        """What was read is in the log."""
        self._logged += self._read
        self._read = []

    def noted(self, *, accepted: bool) -> None:
        """What is in the log was noted, or belongs to another recorder."""
        if accepted:
            self.missed += self._logged
        self._logged = []

    def _take(self, gap: Gap, reply: Any) -> None:
        if not checked(reply):
            self._read.append(gap)


def follows(kind: str, position: str, entry: Entry) -> bool:
    """Whether nothing can be missing between an entry and the one that was read before it.

    Args:
        kind: of both.
        position: id of the one before. For trades and diffs an id ends with the exchange's number: of the trade, and of
            the last update.
        entry: the next one.

    Example:
        >>> follows("trades", "1000-7", (b"1003-8", [])), follows("trades", "1000-7", (b"1003-9", []))
        (True, False)
    """
    before_ms, before = split_id(position)
    at_ms, number = split_id(entry[0])
    if kind == Kind.TRADES:
        return number == before + 1
    if kind == Kind.DIFFS:
        return _first_update(entry) <= before + 1 <= number
    return at_ms - before_ms < PAUSE_MS


def _first_update(entry: Entry) -> int:
    """The first update of a diff; one that cannot be read follows nothing."""
    fields = entry[1]
    try:
        return int(fields[fields.index(b"U") + 1])
    except (ValueError, IndexError):
        return 2**64
