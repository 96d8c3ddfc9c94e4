"""The names of files, and which of them a reader counts. Pure.

``day=2026-11-26/venue=binance/kind=trades/hour-10.recorder-1.1764151200000.12-71.parquet`` holds the rows of one hour,
10:00 to 11:00 UTC by their ``time_ms``, from the parts 12 to 71 of one writer. A part of an hour that is still open is
a file of its own, with one number and the ending ``.parquet.open``.

A closed file is written whole before its parts are deleted. A kill in between leaves rows in two files; but
the closed file's name says which parts it holds, so :func:`counted` leaves those out, and nobody reads a row twice. For
this, two rules hold for a writer:

- a part that is written again has the same rows, so it does not matter when that happens;
- a closed file is made only when no part up to its last number is still to be written for the first time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from tickfence.recordings.kinds import Kind

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BESIDE = ".tmp"
"""Ending of a file while it is written. Readers never look at it."""
BAD = ".bad"
"""Ending of a part that could not be read and was set aside."""

_LAST_MS = 253_402_300_799_000  # in the year 9999
_WRITER = r"[A-Za-z0-9._-]{1,96}"
_PATH = re.compile(
    r"(?P<day>day=\d{4}-\d\d-\d\d)/venue=(?P<venue>[^/]+)/kind=(?P<kind>[a-z]+)/"
    rf"hour-(?P<hour>[01]\d|2[0-3])\.(?P<writer>{_WRITER})\.(?P<first>\d+)"
    r"(?:-(?P<last>\d+)\.parquet|\.parquet\.open)"
)


class File(NamedTuple):
    """One file of a recording.

    Attributes:
        kind: of its rows.
        venue: of its rows.
        hour_ms: start of the hour that its rows are from, ms.
        writer: who wrote it: letters, digits and ``._-``. Two processes never have the same name, or number on from
            what the other has written: a recorder adds to its own name when it began its write-ahead log.
        first: number of the first part that it holds.
        last: the same of the last part.
        closed: whether it took the place of its parts.
    """

    kind: Kind
    venue: str
    hour_ms: int
    writer: str
    first: int
    last: int
    closed: bool

    @property
    def folder(self) -> str:
        """The folder, below the recording's."""
        return f"{day_folder(self.hour_ms)}/venue={self.venue}/kind={self.kind}"

    @property
    def path(self) -> str:
        """The path, below the recording's folder."""
        hour = self.hour_ms % DAY_MS // HOUR_MS
        numbers = f"{self.first}-{self.last}.parquet" if self.closed else f"{self.first}.parquet.open"
        return f"{self.folder}/hour-{hour:02}.{self.writer}.{numbers}"


def day_folder(at_ms: int) -> str:
    """Return the name of the folder of a day, from 1970 to 9999.

    Example:
        >>> day_folder(1764151200000)
        'day=2025-11-26'
    """
    return f"day={datetime.fromtimestamp(min(max(at_ms, 0), _LAST_MS) / 1000, UTC):%Y-%m-%d}"


def day_start_ms(folder: str) -> int | None:
    """Return when the day of a folder begins, ms; ``None`` if that is no folder of a day.

    Example:
        >>> day_start_ms("day=2025-11-26"), day_start_ms("day=2025-02-30"), day_start_ms("jobs")
        (1764115200000, None, None)
    """
    try:
        day = datetime.strptime(folder, "day=%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(day.timestamp()) * 1000


def check_writer(writer: str) -> str:
    """Return the writer's name.

    Raises:
        ValueError: It cannot be part of a file's name.
    """
    if not re.fullmatch(_WRITER, writer):
        raise ValueError(f"writer {writer!r} must match {_WRITER}, like recorder-1.1764151200000")
    return writer


def parse(path: str) -> File | None:
    """Return what a path below the recording's folder names; ``None`` if that is no file of recorded rows."""
    found = _PATH.fullmatch(path)
    if found is None or found["kind"] not in list(Kind):
        return None
    day_ms = day_start_ms(found["day"])
    if day_ms is None:
        return None
    first = int(found["first"])
    return File(
        Kind(found["kind"]),
        found["venue"],
        day_ms + int(found["hour"]) * HOUR_MS,
        found["writer"],
        first,
        int(found["last"] or first),
        found["last"] is not None,
    )


def counted(files: Iterable[File]) -> list[File]:
    """Return the files whose rows count, ordered by hour, writer and number: a part that a closed file holds does not."""
    every = sorted(files, key=lambda file: (file.hour_ms, file.writer, file.first))
    closed: dict[tuple[str, int, str], list[File]] = {}
    for file in every:
        if file.closed:
            closed.setdefault(_group(file), []).append(file)
    return [file for file in every if file.closed or not _held(file, closed.get(_group(file), ()))]


def _held(part: File, closed: Iterable[File]) -> bool:
    return any(file.first <= part.first <= file.last for file in closed)


def _group(file: File) -> tuple[str, int, str]:
    return file.folder, file.hour_ms, file.writer
