"""What changed in a symbol's market, by the rows of its history. No I/O.

Rows tell how many walls there were, not which. So in a second in which one goes and another comes nothing is seen: those
that came and went are at least so many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

from tickfence.analytics.fields import SEVERITIES, Severity
from tickfence.analytics.history_row import HistoryRow
from tickfence.analytics.report import Status
from tickfence.mcp.gauge import LIMITS, Gauge, gauged

GAP_INTERVALS = 3
"""After so many intervals without a row there is a gap: nothing is known of what happened in it."""

LISTED = 8
"""Entries of each list at most: the newest."""

Item = TypeVar("Item")


class Step(Struct, frozen=True):
    """A count became another one; `at` is the first row that shows it."""

    at: int
    before: int
    after: int


class Count(Struct, frozen=True):
    """A number of things over time."""

    first: int
    last: int
    low: int
    high: int
    came: Annotated[int, Meta(description="At least so many; so `went`.")]
    went: int
    steps: Annotated[list[Step], Meta(description="The newest.")]
    left_out: int


class Stretch(Struct, frozen=True):
    """A time, from one row to another; `until` is null if it lasts."""

    since: int
    until: int | None


class Episode(Stretch, frozen=True):
    """A time with anomalies: most at once, and the worst severity."""

    most: int
    severity: Severity | None
    begun: Annotated[bool, Meta(description="Whether its begin was seen: not in the first row, nor right after a gap.")]


class Disturbance(Stretch, frozen=True):
    """A time in which the market data was late or missing."""

    status: Status


class Handover(Struct, frozen=True):
    """Another writer: `at` is its first row."""

    at: int
    before: int
    token: int


class Newest(Struct, Generic[Item], frozen=True):
    """The newest of a list, oldest first, and how many older ones are left out."""

    listed: list[Item]
    left_out: int


class Episodes(Newest[Episode], frozen=True):
    """Of all episodes, those that are left out too: the worst severity, and the first row with it."""

    worst: Severity | None
    worst_at: int | None


class Changes(Struct, frozen=True, kw_only=True):
    """What changed."""

    rows: int
    covered_since: Annotated[int | None, Meta(description="The first row.")]
    covered_until: Annotated[int | None, Meta(description="The last row.")]
    numbers: Annotated[dict[str, Gauge], Meta(description="By field of `get_history`.")]
    walls: Count | None
    vacuums: Count | None
    anomalies: Episodes
    disturbances: Newest[Disturbance]
    gaps: Annotated[Newest[Stretch], Meta(description="No rows, so nothing is known.")]
    handovers: Newest[Handover]


def changes(rows: Sequence[HistoryRow], since_ms: int, until_ms: int, interval_ms: int) -> Changes:
    """Return what changed over ``rows``.

    Args:
        rows: By rising time.
        since_ms: The begin of the range.
        until_ms: Its end.
        interval_ms: At which rows are written.
    """
    longest = GAP_INTERVALS * interval_ms
    pieces = list(_pieces(rows, longest))
    gaps = [Stretch(before[-1].time_ms, after[0].time_ms) for before, after in pairwise(pieces)]
    if rows and rows[0].time_ms - since_ms > longest:
        gaps.insert(0, Stretch(since_ms, rows[0].time_ms))
    current = bool(rows) and until_ms - rows[-1].time_ms <= longest
    if not current:
        gaps.append(Stretch(rows[-1].time_ms if rows else since_ms, None))
    writers = [
        Handover(now.time_ms, before.token, now.token) for before, now in pairwise(rows) if before.token != now.token
    ]
    return Changes(
        rows=len(rows),
        covered_since=rows[0].time_ms if rows else None,
        covered_until=rows[-1].time_ms if rows else None,
        numbers={name: gauge for name, limit in LIMITS.items() if (gauge := gauged(rows, name, limit))},
        walls=_count([(row.time_ms, row.walls) for row in rows if row.walls is not None]),
        vacuums=_count([(row.time_ms, row.vacuums) for row in rows if row.vacuums is not None]),
        anomalies=_all_episodes(rows, _episodes(pieces, current)),
        disturbances=_newest(_disturbances(pieces, current)),
        gaps=_newest(gaps),
        handovers=_newest(writers),
    )


def _pieces(rows: Sequence[HistoryRow], longest_ms: int) -> Iterator[Sequence[HistoryRow]]:
    """Cut the rows at the gaps."""
    start = 0
    for place, (before, now) in enumerate(pairwise(rows), 1):
        if now.time_ms - before.time_ms > longest_ms:
            yield rows[start:place]
            start = place
    if rows:
        yield rows[start:]


def _count(known: Sequence[tuple[int, int]]) -> Count | None:
    if not known:
        return None
    counts = [count for _, count in known]
    steps = [Step(at, before, after) for (_, before), (at, after) in pairwise(known) if before != after]
    came = sum(max(0, step.after - step.before) for step in steps)
    newest = _newest(steps)
    went = came - (counts[-1] - counts[0])
    return Count(counts[0], counts[-1], min(counts), max(counts), came, went, newest.listed, newest.left_out)


def _episodes(pieces: Sequence[Sequence[HistoryRow]], current: bool) -> list[Episode]:
    """Return the times with anomalies; one ends where a row has none, where that is not known, and before a gap."""
    found = []
    for piece in pieces:
        quiet_before = False
        for state, group in groupby(piece, lambda row: None if row.anomalies is None else row.anomalies > 0):
            rows = list(group)
            if state:
                lasts = current and rows[-1] is pieces[-1][-1]
                severities = [row.severity for row in rows if row.severity]
                worst = max(severities, key=SEVERITIES.index, default=None)
                most = max(row.anomalies or 0 for row in rows)
                until = None if lasts else rows[-1].time_ms
                found.append(Episode(rows[0].time_ms, until, most, worst, quiet_before))
            quiet_before = state is False
    return found


def _all_episodes(rows: Iterable[HistoryRow], found: Sequence[Episode]) -> Episodes:
    newest = _newest(found)
    severities = [(row.severity, row.time_ms) for row in rows if row.severity]
    worst = max((severity for severity, _ in severities), key=SEVERITIES.index, default=None)
    at = next((at for severity, at in severities if severity == worst), None)
    return Episodes(newest.listed, newest.left_out, worst, at)


def _disturbances(pieces: Sequence[Sequence[HistoryRow]], current: bool) -> list[Disturbance]:
    found = []
    for piece in pieces:
        for status, group in groupby(piece, lambda row: row.status):
            rows = list(group)
            if status != "ok":
                lasts = current and rows[-1] is pieces[-1][-1]
                found.append(Disturbance(rows[0].time_ms, None if lasts else rows[-1].time_ms, status))
    return found


def _newest(items: Sequence[Item]) -> Newest[Item]:
    return Newest(list(items[-LISTED:]), max(0, len(items) - LISTED))
