"""Writing recordings: parts of open hours, and the closed files that take their place."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem
from pyarrow import compute as pc
from pyarrow import parquet as pq

from tickfence.instrument import split
from tickfence.recordings.deadline import Deadline
from tickfence.recordings.durable import sync_folder
from tickfence.recordings.kinds import EVERY_VENUE, Kind
from tickfence.recordings.layout import (
    BAD,
    BESIDE,
    HOUR_MS,
    File,
    check_writer,
    counted,
    day_folder,
    day_start_ms,
    parse,
)
from tickfence.recordings.schemas import SCHEMAS, in_order

ROW_GROUP_MS = 60_000
"""Parts become one row group as long as their rows span less than this."""
ROW_GROUP_ROWS = 1_000_000

_UNLIMITED = Deadline(None)

logger = logging.getLogger(__name__)


class BadRecordings(ValueError):
    """An address that cannot be used. The text is the one line to show."""


class Store:
    """A folder of recorded data, local or anywhere that fsspec reaches.

    Several processes may write into one folder, each as a writer of its own. One writer does one thing at a time.

    Attributes:
        fs: its file system.
        root: its path there.
        local: whether that is this machine's.
    """

    def __init__(self, url: str) -> None:
        """Open the folder. Nothing is read or created yet.

        Args:
            url: a folder, or a URL that fsspec knows, like ``s3://bucket/recordings``.

        Raises:
            BadRecordings: fsspec does not know it, or lacks a package for it.
        """
        try:
            fs, root = fsspec.url_to_fs(url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise BadRecordings(
                f"recordings {url!r} must be a folder or a URL that fsspec knows, like s3://bucket/recordings: {error}"
            ) from None
        if glob := re.search(r"[*?\[]", url):
            raise BadRecordings(f"recordings {url!r} must not contain {glob.group()!r}: programs take it for a pattern")
        self.fs: Any = fs
        self.root = str(root).rstrip("/")
        self.local = isinstance(fs, LocalFileSystem)
        self._synced: set[Path] = set()

    def path(self, file: File) -> str:
        """Return where a file is in the file system."""
        return f"{self.root}/{file.path}"

    def url(self, file: File) -> str:
        """Return a file's address for a program that knows several file systems."""
        path = self.path(file)
        return path if self.local else str(self.fs.unstrip_protocol(path))

    def files(
        self,
        kind: Kind | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        deadline: Deadline = _UNLIMITED,
    ) -> list[File]:
        """Return the files there are, also the parts that a closed file holds.

        Args:
            kind: only of this kind.
            from_ms: only of hours that end after it.
            to_ms: only of hours that begin before it.
            deadline: until when.

        Raises:
            TimeoutError: it takes longer.
        """
        found = map(parse, self._paths(kind, from_ms, to_ms, deadline))
        return [
            file
            for file in found
            if file
            and (from_ms is None or file.hour_ms + HOUR_MS > from_ms)
            and (to_ms is None or file.hour_ms < to_ms)
        ]

    def days(self) -> list[str]:
        """Return the folders of the days there are, oldest first."""
        return [name for name in self._names("") if day_start_ms(name) is not None]

    def delete_day(self, day: str) -> None:
        """Delete a folder that :meth:`days` returned. It may be killed at any moment, and called again, by several."""
        with suppress(FileNotFoundError):
            self.fs.rm(f"{self.root}/{day}", recursive=True)
        self._synced.clear()

    def write(self, table: pa.Table, kind: Kind, writer: str, number: int) -> dict[File, int]:
        """Write rows as a part: a file for each hour and venue that they are from.

        When this returns, the rows are on disk. A part that exists is replaced: after a kill in the middle, call it
        again with the same rows.

        Args:
            table: rows of ``kind``, in any order.
            kind: of the rows.
            writer: see :class:`File`.
            number: of the part; a writer counts up.

        Returns:
            The files and their bytes; none for a table without rows.
        """
        check_writer(writer)
        files = {}
        for hour_ms, place, rows in _by_file(table):
            file = File(kind, place, hour_ms, writer, number, number, closed=False)
            files[file] = self._write_beside(file, [in_order(kind, rows)])
        return files

    def close(
        self, writer: str, before_ms: int, through: int, from_ms: int | None = None, file_bytes: int | None = None
    ) -> list[File]:
        """Put closed files in the place of a writer's parts, and delete what a killed call has left.

        It may be killed at any moment, and called again. A part that cannot be read is logged and set aside.

        Args:
            writer: whose parts.
            before_ms: hours that end at or before this time are closed. Of other hours, those parts are that make a file
                of ``file_bytes``.
            through: parts up to this number are taken; each of them has been written.
            from_ms: look at days from this time on only.
            file_bytes: a file takes no further part when its parts have so many bytes; by default it takes all.

        Returns:
            The new files.
        """
        paths = list(self._paths(None, from_ms, None))
        for path in paths:
            left = parse(path.removesuffix(BESIDE))
            if left and left.writer == writer and path.endswith(BESIDE):
                self._delete(f"{self.root}/{path}")
        own = [file for file in map(parse, paths) if file and file.writer == writer]
        kept = counted(own)
        for part in set(own).difference(kept):
            self._delete(self.path(part))
        ready = [f for f in kept if not f.closed and f.last <= through]
        ready.sort(key=lambda file: (file.folder, file.hour_ms, file.first))
        made = []
        for (_, hour_ms), group in groupby(ready, key=lambda file: (file.folder, file.hour_ms)):
            over = hour_ms + HOUR_MS <= before_ms
            for some in self._together(group, file_bytes, over=over) if over or file_bytes else ():
                parts = [part for part in some if self._readable(part)]
                if parts:
                    made.append(parts[0]._replace(last=parts[-1].last, closed=True))
                    self._write_beside(made[-1], self._row_groups(parts))
                for part in parts:
                    self._delete(self.path(part))
        return made

    def _together(self, parts: Iterable[File], file_bytes: int | None, *, over: bool) -> Iterator[list[File]]:
        """The parts of each file to be made, in their order; the last ones wait unless their hour is over."""
        some: list[File] = []
        size = 0
        for part in parts:
            some.append(part)
            size += self.fs.size(self.path(part)) if file_bytes else 0
            if file_bytes and size >= file_bytes:
                yield some
                some, size = [], 0
        if some and over:
            yield some

    def _paths(
        self, kind: Kind | None, from_ms: int | None, to_ms: int | None, deadline: Deadline = _UNLIMITED
    ) -> Iterator[str]:
        """Paths of files below the root, from the days of a range of time."""
        for day in self._names("", deadline):
            early = from_ms is not None and day < day_folder(from_ms)
            late = to_ms is not None and day > day_folder(to_ms)
            if early or late or not day.startswith("day="):
                continue
            for place in self._names(day, deadline):
                for one in [f"kind={kind}"] if kind else self._names(f"{day}/{place}", deadline):
                    folder = f"{day}/{place}/{one}"
                    yield from (f"{folder}/{name}" for name in self._names(folder, deadline))

    def _names(self, folder: str, deadline: Deadline = _UNLIMITED) -> list[str]:
        left_s = deadline.left_s()
        # Object stores answer over the network: fsspec then ends the call itself. Others block.
        limit = {"timeout": left_s} if left_s is not None and isinstance(self.fs, AsyncFileSystem) else {}
        try:
            found = self.fs.ls(f"{self.root}/{folder}", detail=False, **limit)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def _readable(self, part: File) -> bool:
        try:
            self._read(part)
        except (pa.ArrowInvalid, OSError) as error:
            if not damaged(error):
                raise
            path = self.path(part)
            logger.error("%s cannot be read and is set aside: %s", path, error)
            self.fs.mv(path, path + BAD)
            return False
        return True

    def _read(self, part: File) -> pa.Table:
        with self.fs.open(self.path(part), "rb") as stream:
            return pq.read_table(stream, schema=SCHEMAS[part.kind])

    def _row_groups(self, parts: list[File]) -> Iterator[pa.Table]:
        kind = parts[0].kind
        waiting: list[pa.Table] = []
        for part in parts:
            together = pa.concat_tables([*waiting, self._read(part)])
            times = pc.min_max(together["time_ms"]).as_py()
            if waiting and (times["max"] - times["min"] >= ROW_GROUP_MS or len(together) > ROW_GROUP_ROWS):
                yield in_order(kind, pa.concat_tables(waiting))
                together = together.slice(sum(map(len, waiting)))
                waiting = []
            waiting = [together]
        yield in_order(kind, pa.concat_tables(waiting))

    def _write_beside(self, file: File, row_groups: Iterable[pa.Table]) -> int:
        """Write a file beside its name, then give it its name: nobody ever finds half of it. Return its bytes."""
        path = self.path(file)
        self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        with self.fs.open(path + BESIDE, "wb") as stream:
            with pq.ParquetWriter(stream, SCHEMAS[file.kind], compression="zstd") as parquet:
                for rows in row_groups:
                    parquet.write_table(rows, row_group_size=ROW_GROUP_ROWS)
            size = stream.tell()
            if self.local:
                stream.flush()
                os.fsync(stream.fileno())
        self.fs.mv(path + BESIDE, path)
        if self.local:
            self._sync_names(Path(path).parent)
        return int(size)

    def _sync_names(self, folder: Path) -> None:
        """Make a name in a folder survive a loss of power, and the folders on the way to it, each once."""
        sync_folder(folder)
        while folder not in self._synced and folder != Path(self.root).parent:
            self._synced.add(folder)
            folder = folder.parent
            sync_folder(folder)

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self.fs.rm_file(path)


def damaged(error: Exception) -> bool:
    """Whether an error of reading a file comes from what is in it, and will come again.

    pyarrow raises a bare OSError for pages that cannot be decoded; an error of the system has a number or a class of its
    own.
    """
    return isinstance(error, pa.ArrowInvalid) or (type(error) is OSError and error.errno is None)


def _by_file(table: pa.Table) -> Iterator[tuple[int, str, pa.Table]]:
    """Each hour and venue, with its rows."""
    hours = pc.divide(table["time_ms"], HOUR_MS)
    for hour in hours.unique().to_pylist():
        of_hour = table.filter(pc.equal(hours, hour))
        if "symbol" not in table.schema.names:
            yield hour * HOUR_MS, EVERY_VENUE, of_hour
            continue
        by_venue: dict[str, list[str]] = {}
        for symbol in of_hour["symbol"].unique().to_pylist():
            by_venue.setdefault(split(symbol)[0], []).append(symbol)
        for place, symbols in by_venue.items():
            yield hour * HOUR_MS, place, of_hour.filter(pc.is_in(of_hour["symbol"], pa.array(symbols)))
