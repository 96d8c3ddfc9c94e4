"""A symbol's past, from two places without a seam: what is recent is in Redis, what is older in recordings.

Redis is read first. The joint is the oldest row that was read there: of recordings, only rows before it count. A row that
Redis trims meanwhile has been read by then, and one that is not in a file yet is still in Redis: files are a minute or two
behind, and the stream is an hour long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from tickfence.analytics.history_row import FIELDS, HistoryRow, time_of, unpack
from tickfence.keys import Keys
from tickfence.readers.archive import Recorded
from tickfence.readers.data_plane import Command, Unreadable
from tickfence.readers.quoting import quoted
from tickfence.readers.reader import Reader
from tickfence.readers.when import BadRange, Range, iso
from tickfence.timeline.events import place

MAX_ROWS = 10_000
"""Rows in one answer."""
CLOCKS_MS = 10_000
"""By how much a report's time may be ahead of the id of its row."""
_STEP_MS = 1_000  # by how much a clock that was not set may seem to go back: two owners estimate it


class History(NamedTuple):
    """Rows of one symbol, oldest first, each time once.

    Attributes:
        symbol: Whose they are.
        asked: What was asked for.
        rows: The rows.
        more: Whether the range holds further rows after the last.
        note: Why older rows are missing, in one sentence; ``None`` if none are, as far as anyone knows.
        breaks: Where the server's clock was set back within the range, a sentence each.
    """

    symbol: str
    asked: Range
    rows: list[HistoryRow]
    more: bool = False
    note: str | None = None
    breaks: Sequence[str] = ()

    @property
    def notes(self) -> str | None:
        """All that is to be told, as one text; ``None`` if there is nothing."""
        return "; ".join(filter(None, (self.note, *self.breaks))) or None

    def columns(self, fields: Sequence[str] = FIELDS) -> dict[str, list[Any]]:
        """Return one list for each of ``fields``, in their order."""
        return {name: [getattr(row, name) for row in self.rows] for name in fields}


class Packed(NamedTuple):
    """An entry of the stream."""

    time_ms: int
    entry: bytes
    data: bytes


Timed = TypeVar("Timed", HistoryRow, Packed)


class Recent(NamedTuple):
    """What Redis has of a range.

    Attributes:
        rows: The rows in it, oldest first: of each step the last one.
        joint_ms: The time of the oldest entry that was read; ``None`` if Redis has none at all.
        breaks: As in `History`.
    """

    rows: list[HistoryRow]
    joint_ms: int | None
    breaks: Sequence[str] = ()


async def read_history(
    reader: Reader,
    symbol: str,
    since_ms: int,
    until_ms: int,
    step_ms: int = 0,
    fields: Sequence[str] = FIELDS,
    *,
    limit: int = MAX_ROWS,
) -> History:
    """Return the rows of ``symbol`` with a time from ``since_ms`` to before ``until_ms``.

    Args:
        reader: Reads the deployment.
        symbol: Whose rows; an unknown symbol has none.
        since_ms: Server ms.
        until_ms: Server ms.
        step_ms: The last row of each step, counted from 1970; 0: every row.
        fields: The fields that the caller will use.
        limit: How many rows at most: the oldest of the range.

    Raises:
        Unavailable: Redis does not answer, or holds what tickfence did not write; or recordings cannot be read now.
    """
    asked = Range(since_ms, until_ms, step_ms)
    _, replies = await reader.plane.read(recent_commands(reader.keys, symbol, asked))
    recent = parse_recent(reader.keys, symbol, replies, asked)
    older = before_joint(asked, recent)
    recorded = Recorded() if older is None else await reader.archive.history(symbol, older, fields, limit + 1)
    return joined(symbol, asked, recorded, recent, limit)


def recent_commands(keys: Keys, symbol: str, asked: Range) -> list[Command]:
    """Return the commands for :func:`parse_recent`, which must be sent in this order.

    A row's id is the time at which Redis took it, its own time that of its report. They differ by some ms. But after a step
    of the clock backwards ids stand still until the old time is reached again, so no id can be too late.
    """
    since = max(0, asked.since_ms - CLOCKS_MS)
    key = keys.history(symbol)
    return [("XRANGE", key, since, "+"), ("XRANGE", key, "-", "+", "COUNT", 1)]


def parse_recent(keys: Keys, symbol: str, replies: Sequence[Any], asked: Range) -> Recent:
    """Return what Redis has of ``asked``: of each step the last row. The others are not unpacked, which takes 5 µs a row.

    Raises:
        Unreadable: An entry is no row.
    """
    try:
        read, first = (
            [Packed(time_of(fields[b"r"]), entry, fields[b"r"]) for entry, fields in some] for some in replies
        )
        # Between both commands the stream may have been trimmed.
        oldest = min((*read[:1], *first), key=lambda one: place(one.entry), default=None)
        one_by_time, turns = newest_passes(read)
        within = [one for one in one_by_time if asked.since_ms <= one.time_ms < asked.until_ms]
        rows = [unpack(one.data) for one in one_a_step(within, asked.step_ms)]
    except (KeyError, ValueError) as error:
        raise Unreadable(f"{keys.history(symbol)} holds what tickfence did not write: {error}") from error
    breaks = [
        f"the clock of Redis was set back from {iso(before)} to {iso(after)}: of what was written twice, this is the later"
        for before, after in turns
        if asked.since_ms <= after < asked.until_ms
    ]
    return Recent(rows, oldest and oldest.time_ms, breaks)


def newest_passes(rows: Sequence[Packed]) -> tuple[Sequence[Packed], list[tuple[int, int]]]:
    """Leave one row of each time where the server's clock was set back: the rows of two passes must not mix.

    Args:
        rows: In the order in which they were appended.

    Returns:
        Of each time the rows of the last pass over it, and where the clock turned back: from which ms to which.
    """
    starts = [0]
    for number, (before, now) in enumerate(pairwise(rows), 1):
        if now.time_ms < before.time_ms - _STEP_MS:
            starts.append(number)
    if len(starts) == 1:
        return rows, []
    turns = [(rows[start - 1].time_ms, rows[start].time_ms) for start in starts[1:]]
    found: list[Packed] = []
    later: list[tuple[int, int]] = []  # spans of the passes behind
    for start, end in reversed(list(pairwise((*starts, len(rows))))):
        one_pass = rows[start:end]
        found += (row for row in one_pass if not any(first <= row.time_ms <= last for first, last in later))
        later.append((one_pass[0].time_ms, max(row.time_ms for row in one_pass)))
    return found, turns


def before_joint(asked: Range, recent: Recent) -> Range | None:
    """Return the part of ``asked`` that only recordings may have; ``None`` if there is none."""
    until = asked.until_ms if recent.joint_ms is None else min(asked.until_ms, recent.joint_ms)
    return asked._replace(until_ms=until) if asked.since_ms < until else None


def joined(symbol: str, asked: Range, recorded: Recorded[HistoryRow], recent: Recent, limit: int) -> History:
    """Return both parts as one, each time or step once; where both have a row, that of Redis, which is the later."""
    rows = list(one_a_step((*recorded.rows, *recent.rows), asked.step_ms))
    note = recorded.note
    if note:
        joint = recent.joint_ms
        note = (
            f"Redis has {f'the history of {symbol} since {iso(joint)}' if joint else f'no history of {symbol}'}; {note}"
        )
    return History(symbol, asked, rows[:limit], len(rows) > limit, note, recent.breaks)


def one_a_step(rows: Iterable[Timed], step_ms: int) -> Iterable[Timed]:
    """Return the last row of each step by time, oldest first.

    Args:
        rows: In any order; of two rows of one time the later one counts.
        step_ms: Steps are counted from 1970; 0: each time is one.
    """
    last: dict[int, Timed] = {}
    for row in sorted(rows, key=attrgetter("time_ms")):
        last[row.time_ms // (step_ms or 1)] = row
    return last.values()


def next_since(last_ms: int, step_ms: int) -> int:
    """Return where the rows after one of ``last_ms`` begin, ms."""
    return (last_ms // step_ms + 1) * step_ms if step_ms else last_ms + 1


def fields_named(text: str) -> tuple[str, ...]:
    """Return the fields in a comma-separated list, each once; ``time_ms`` comes first, whether it is named or not.

    Raises:
        BadRange: There is no such field.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in FIELDS:
            raise BadRange(f"fields={quoted(text)}: there is no field {quoted(name)}; there are {', '.join(FIELDS)}")
    return tuple(dict.fromkeys(("time_ms", *names))) if names else tuple(FIELDS)
