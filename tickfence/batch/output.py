"""The files of a batch job: one of reports for each partition, and the job itself. Needs the extra ``recordings``.

A file is written under a name that readers of ``*.parquet`` do not match. It gets its own name after Redis has recorded
it as the partition's result, and from then on it is never written again. So of two workers that make the same partition
only one file is ever seen, whoever is killed or frozen at whatever line; and whoever finds a record without its file
finishes the renaming.

The name holds the job's id and the fencing token, so no two workers ever write the same file, and a job finds, renames
and deletes only its own ones, whatever else is in the folder.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self
from urllib.parse import quote, unquote

import msgspec
import pyarrow as pa
from pyarrow import parquet as pq

from tickfence.batch.job import JOB_ID, Done, decode_result, encode
from tickfence.batch.partition import Partition
from tickfence.recordings.durable import sync_folder
from tickfence.recordings.store import Store

SCHEMA = pa.schema([pa.field("symbol", pa.string()), pa.field("time_ms", pa.int64()), pa.field("report", pa.string())])

_BESIDE = ".part"
_FILE = re.compile(
    rf"(?P<symbol>[^/]+)\.(?P<hour>\d{{4}}-\d\d-\d\dT\d\d)\.(?P<job>{JOB_ID.pattern})\.(?P<token>\d+)\.parquet"
)
_JOB_FILE = re.compile(rf"job-({JOB_ID.pattern})\.json")
_DONE = "tickfence.done"
"""What the file itself tells of how it was made, for a time when Redis has lost that: an encoded :class:`Done`."""
_ROW_GROUP_MS = 60_000

logger = logging.getLogger(__name__)


class OutputFailed(Exception):
    """The folder of a job's reports could not be read or written; it may be next time. The text is one line."""


def file_name(job: str, partition: Partition, token: int) -> str:
    """The name of the file that a worker makes of ``partition`` under a fencing token.

    Example:
        >>> from tickfence.instrument import Instrument
        >>> file_name("j-1", Partition(Instrument("kraken:BTC/USD"), 1_796_205_600_000, 1_796_209_200_000), 17)
        'kraken%3ABTC%2FUSD.2026-12-02T10.j-1.17.parquet'
    """
    # A name may have 40 letters beyond ASCII: encoded, they would be more than the 255 bytes that a file's name may have.
    symbol = "".join(sign if sign.isalnum() else quote(sign, safe="") for sign in partition.symbol)
    return f"{symbol}.{partition.hour}.{job}.{token}.parquet"


class ReportsFile:
    """A file of reports that is being written; :meth:`Output.writing` makes it.

    Attributes:
        done: what the partition's record is to say, once the file is written to its end.
    """

    def __init__(self, name: str, symbol: str, stream: Any, worker: str) -> None:
        self.done = Done(name, 0, worker=worker)
        self._symbol = symbol
        self._began = time.monotonic()
        self._reports = self._not_warm = 0
        self._writer = pq.ParquetWriter(stream, SCHEMA, compression="zstd", compression_level=3)
        self._times: list[int] = []
        self._texts: list[bytes] = []

    def add(self, at_ms: int, report: bytes, *, warm: bool = True) -> None:
        """Append a report. Times do not fall.

        Args:
            at_ms: its time.
            report: its bytes.
            warm: whether it was made from all that it should be made from.
        """
        if self._times and at_ms // _ROW_GROUP_MS != self._times[0] // _ROW_GROUP_MS:
            self._flush()
        self._times.append(at_ms)
        self._texts.append(report)
        self._reports += 1
        self._not_warm += not warm

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
        if kind is None:
            if self._times:
                self._flush()
            ms = round((time.monotonic() - self._began) * 1000)
            self.done = msgspec.structs.replace(self.done, reports=self._reports, not_warm=self._not_warm, ms=ms)
            self._writer.add_key_value_metadata({_DONE: encode(self.done).decode()})
        self._writer.close()


class Output:
    """One job's reports in a folder, local or in object storage.

    Args:
        url: a folder, or a URL that fsspec knows.
        job: the job's id.

    Raises:
        tickfence.recordings.store.BadRecordings: fsspec does not know it.
    """

    def __init__(self, url: str, job: str) -> None:
        store = Store(url)
        self._fs, self._root, self._local = store.fs, store.root, store.local
        self._url, self._job = url, job

    @contextmanager
    def writing(self, partition: Partition, token: int, worker: str) -> Iterator[ReportsFile]:
        """Write a file of reports beside its name. When the block ends, it is on disk; after an error, it is gone.

        Args:
            partition: whose reports.
            token: the fencing token.
            worker: who makes them.
        """
        name = file_name(self._job, partition, token)
        path = self._path(name) + _BESIDE
        self._fs.makedirs(self._root, exist_ok=True)
        try:
            with self._fs.open(path, "wb") as stream:
                with ReportsFile(name, partition.symbol, stream, worker) as file:
                    yield file
                if self._local:
                    stream.flush()
                    os.fsync(stream.fileno())
        except BaseException:
            self.discard(name)
            raise

    def publish(self, name: str) -> bool:
        """Give a file its name, unless it has it; return whether it has. Safe to call twice, and by two at once.

        Raises:
            OutputFailed: the folder cannot be reached.
        """
        path = self._path(name)
        with self._reaching():
            if not self._fs.exists(path):
                with suppress(FileNotFoundError):  # another has just done it
                    self._fs.mv(path + _BESIDE, path)
                    self._sync_folder()
            return bool(self._fs.exists(path))

    def discard(self, name: str) -> None:
        """Delete a file that was written and not published. What cannot be deleted now, :meth:`sweep` does."""
        try:
            with self._reaching(), suppress(FileNotFoundError):
                self._fs.rm_file(self._path(name) + _BESIDE)
        except OutputFailed as error:
            logger.warning("%s%s stays until its job ends: %s", name, _BESIDE, error)

    def published(self) -> dict[str, str]:
        """Partition -> its published file; the newest one, should there be two.

        Raises:
            OutputFailed: the folder cannot be reached.
        """
        newest: dict[str, tuple[int, str]] = {}
        for name in self._names():
            if found := self._parse(name):
                partition, token = found
                newest[partition] = max(newest.get(partition, (0, "")), (token, name))
        return {partition: name for partition, (_, name) in newest.items()}

    def done(self, name: str) -> Done:
        """What a published file tells of how it was made.

        Raises:
            OutputFailed: the folder cannot be reached, or that is no file of reports.
        """
        with self._reaching(), self._fs.open(self._path(name), "rb") as stream:
            found = decode_result(pq.read_metadata(stream).metadata[_DONE.encode()])
        if not isinstance(found, Done):
            raise OutputFailed(f"{self._url}/{name} does not tell how it was made")
        return msgspec.structs.replace(found, file=name)

    def sweep(self, keep: Collection[str]) -> list[str]:
        """Delete every file of this job's reports that is not in ``keep``, whole or not; return their names.

        Raises:
            OutputFailed: the folder cannot be reached.
        """
        swept = []
        for name in self._names():
            if self._parse(name.removesuffix(_BESIDE)) and name not in keep:
                with self._reaching(), suppress(FileNotFoundError):
                    self._fs.rm_file(self._path(name))
                    swept.append(name)
        return swept

    def claim(self, data: bytes) -> list[str]:
        """Take the folder for this job, with what the job is; return which other jobs have it, if it is not free.

        Each job looks again after it has written its file, so of two that come at once no more than one goes on.

        Raises:
            OutputFailed: the folder cannot be reached.
        """
        if others := self._others():
            return others
        self.save_job(data)
        if others := self._others():
            with self._reaching(), suppress(FileNotFoundError):
                self._fs.rm_file(self._job_path)
        return others

    def save_job(self, data: bytes) -> None:
        """Keep what the job is beside its reports, for a time when Redis has lost it.

        Raises:
            OutputFailed: the folder cannot be reached.
        """
        with self._reaching():
            self._fs.makedirs(self._root, exist_ok=True)
            self._fs.pipe_file(self._job_path + _BESIDE, data)
            self._fs.mv(self._job_path + _BESIDE, self._job_path)

    def load_job(self) -> bytes | None:
        """What :meth:`save_job` has kept.

        Raises:
            OutputFailed: the folder cannot be reached.
        """
        with self._reaching(), suppress(FileNotFoundError):
            return bytes(self._fs.cat_file(self._job_path))
        return None

    @property
    def _job_path(self) -> str:
        return self._path(f"job-{self._job}.json")

    def _others(self) -> list[str]:
        jobs = (found[1] for name in self._names() if (found := _JOB_FILE.fullmatch(name)))
        return [job for job in jobs if job != self._job]

    def _parse(self, name: str) -> tuple[str, int] | None:
        """The partition's name, and the token, of a file of this job's reports."""
        found = _FILE.fullmatch(name)
        if found is None or found["job"] != self._job:
            return None
        return f"{unquote(found['symbol'])}:{found['hour']}", int(found["token"])

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _names(self) -> list[str]:
        found: list[str] = []
        with self._reaching(), suppress(FileNotFoundError):
            found = self._fs.ls(self._root, detail=False)
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Raise :class:`OutputFailed` for whatever a file system raises; each has errors of its own."""
        try:
            yield
        except Exception as error:
            raise OutputFailed(" ".join(f"{self._url}: {type(error).__name__}: {error}".split())) from error

    def _sync_folder(self) -> None:
        """Make a new name survive a loss of power."""
        if self._local:
            sync_folder(self._root)
