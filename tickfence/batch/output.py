"""The files of a batch job: one of reports for each partition, and the job itself. Needs the extra ``recordings``.

A file is written under a name that readers of ``*.parquet`` do not match. It gets its own name after Redis has recorded
it as the partition's result, and from then on it is never written again. So of two workers that make the same partition
only one file is ever seen, whoever is killed or frozen at whatever line; and whoever finds a record without its file
finishes the renaming.

The name holds the fencing token, so no two workers ever write the same file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self
from urllib.parse import quote, unquote

import pyarrow as pa
from pyarrow import parquet as pq

from tickfence.batch.partition import Partition
from tickfence.recordings.durable import sync_folder
from tickfence.recordings.store import Store

SCHEMA = pa.schema([pa.field("symbol", pa.string()), pa.field("time_ms", pa.int64()), pa.field("report", pa.string())])
JOB_FILE = "job.json"

_BESIDE = ".part"
_FILE = re.compile(r"(?P<symbol>[^/]+)\.(?P<hour>\d{4}-\d\d-\d\dT\d\d)\.(?P<token>\d+)\.parquet")
_ROW_GROUP_MS = 60_000


def file_name(partition: Partition, token: int) -> str:
    """The name of the file that a worker makes of ``partition`` under a fencing token.

    Example:
        >>> from tickfence.instrument import Instrument
        >>> file_name(Partition(Instrument("kraken:BTC/USD"), 1_796_205_600_000, 1_796_209_200_000), 17)
        'kraken%3ABTC%2FUSD.2026-12-02T10.17.parquet'
    """
    # A name may have 40 letters beyond ASCII: encoded, they would be more than the 255 bytes that a file's name may have.
    symbol = "".join(sign if sign.isalnum() else quote(sign, safe="") for sign in partition.symbol)
    return f"{symbol}.{partition.hour}.{token}.parquet"


def _parse(name: str) -> tuple[str, int] | None:
    """The partition's name, and the token, of a file of reports."""
    found = _FILE.fullmatch(name)
    return (f"{unquote(found['symbol'])}:{found['hour']}", int(found["token"])) if found else None


class ReportsFile:
    """A file of reports that is being written; :meth:`Output.writing` makes it.

    Attributes:
        name: its name once it is published.
        reports: how many it has.
    """

    def __init__(self, name: str, symbol: str, stream: Any) -> None:
        self.name, self.reports = name, 0
        self._symbol = symbol
        self._writer = pq.ParquetWriter(stream, SCHEMA, compression="zstd", compression_level=3)
        self._times: list[int] = []
        self._texts: list[bytes] = []

    def add(self, at_ms: int, report: bytes) -> None:
        """Append a report. Times do not fall."""
        if self._times and at_ms // _ROW_GROUP_MS != self._times[0] // _ROW_GROUP_MS:
            self._flush()
        self._times.append(at_ms)
        self._texts.append(report)
        self.reports += 1

    def _flush(self) -> None:
        columns = [
            pa.array([self._symbol] * len(self._times), pa.string()),
            pa.array(self._times, pa.int64()),
            pa.array(self._texts, pa.binary()).cast(pa.string()),
        ]
        self._writer.write_table(pa.table(columns, SCHEMA))
        self._times, self._texts = [], []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._times:
            self._flush()
        self._writer.close()


class Output:
    """The folder of one job's reports, local or in object storage.

    Args:
        url: a folder, or a URL that fsspec knows.

    Raises:
        tickfence.recordings.store.BadRecordings: fsspec does not know it.
    """

    def __init__(self, url: str) -> None:
        store = Store(url)
        self._fs, self._root, self._local = store.fs, store.root, store.local

    @contextmanager
    def writing(self, partition: Partition, token: int) -> Iterator[ReportsFile]:
        """Write a file of reports beside its name. When the block ends, it is on disk; after an error, it is gone."""
        name = file_name(partition, token)
        path = self._path(name) + _BESIDE
        self._fs.makedirs(self._root, exist_ok=True)
        try:
            with self._fs.open(path, "wb") as stream:
                with ReportsFile(name, partition.symbol, stream) as file:
                    yield file
                if self._local:
                    stream.flush()
                    os.fsync(stream.fileno())
        except BaseException:
            self.discard(name)
            raise

    def publish(self, name: str) -> bool:
        """Give a file its name, unless it has it; return whether it has. Safe to call twice, and by two at once."""
        path = self._path(name)
        if not self._fs.exists(path):
            with suppress(FileNotFoundError):  # another has just done it
                self._fs.mv(path + _BESIDE, path)
                self._sync_folder()
        return bool(self._fs.exists(path))

    def discard(self, name: str) -> None:
        """Delete a file that was written and not published."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name) + _BESIDE)

    def published(self) -> dict[str, str]:
        """Partition -> its published file; the newest one, should there be two."""
        newest: dict[str, tuple[int, str]] = {}
        for name in self._names():
            if found := _parse(name):
                partition, token = found
                newest[partition] = max(newest.get(partition, (0, "")), (token, name))
        return {partition: name for partition, (_, name) in newest.items()}

    def count(self, name: str) -> int:
        """How many reports a published file has."""
        with self._fs.open(self._path(name), "rb") as stream:
            return int(pq.ParquetFile(stream).metadata.num_rows)

    def sweep(self, keep: Collection[str]) -> list[str]:
        """Delete every file of reports that is not named in ``keep``, written to its end or not; return their names."""
        swept = []
        for name in self._names():
            if _parse(name.removesuffix(_BESIDE)) and name not in keep:
                with suppress(FileNotFoundError):
                    self._fs.rm_file(self._path(name))
                    swept.append(name)
        return swept

    def save_job(self, data: bytes) -> None:
        """Keep what the job is beside its reports, for a time when Redis has lost it."""
        self._fs.makedirs(self._root, exist_ok=True)
        self._fs.pipe_file(self._path(JOB_FILE) + _BESIDE, data)
        self._fs.mv(self._path(JOB_FILE) + _BESIDE, self._path(JOB_FILE))

    def load_job(self) -> bytes | None:
        """What :meth:`save_job` has kept."""
        try:
            return bytes(self._fs.cat_file(self._path(JOB_FILE)))
        except FileNotFoundError:
            return None

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _names(self) -> list[str]:
        try:
            found = self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def _sync_folder(self) -> None:
        """Make a new name survive a loss of power."""
        if self._local:
            sync_folder(self._root)
