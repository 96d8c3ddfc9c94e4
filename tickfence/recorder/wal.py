"""The write-ahead log: frames on a local disk, in segments.

A segment is a file of frames, each with its length and checksum. The newest is appended to; the others are closed, and
wait until what they hold is in Parquet files. A process that is killed may leave a frame by half at the end: it is cut
when the log is opened again.

Segments are numbered on for as long as the log exists. A new log, after its disk was lost, has another
name: the time of its beginning.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import time
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import IO, NamedTuple, Self
from zlib import crc32

from tickfence.recorder.frames import Frame, decode, encode

logger = logging.getLogger(__name__)

_HEAD = struct.Struct("<II")
"""Length and CRC-32 of what follows."""
_MAX_FRAME = 256 * 1024 * 1024
_CHECK_BYTES = 1024 * 1024


class LogInUse(RuntimeError):
    """Another process has this log open."""


class NotWritten(RuntimeError):
    """The disk does not take what is to be logged. The text is the one line to show."""


class Segment(NamedTuple):
    """A file of the log.

    Attributes:
        path: of the file.
        log: name of the log: when it began, ms.
        number: of this segment; they are counted up.
    """

    path: Path
    log: int
    number: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """The segment in a file."""
        log, _, number = path.stem.partition("-")
        return cls(path, int(log), int(number))


class WriteAheadLog:
    """One recorder's log.

    Args:
        folder: for its segments; created if missing.

    Attributes:
        segment: the newest, to which is appended.
        size: its bytes.
        left: its frames, as they were when the log was opened.
        closed: the other segments that were there then, oldest first.

    Raises:
        LogInUse: another process has this log open.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder)
        for unfinished in folder.glob("*.new"):
            unfinished.unlink()
        self.closed = [Segment.of(path) for path in sorted(folder.glob("*.wal"))]
        self.left: list[Frame] = []
        if self.closed:
            self.segment = self.closed.pop()
            path = self.segment.path
            self.left = list(frames(path))
            self.size = good_length(path)
            if self.size < path.stat().st_size:
                logger.warning("log cut at its last whole frame", extra={"segment": path.name, "at": self.size})
        else:
            self.segment, self.size = self._create(time.time_ns() // 1_000_000, 1, ())
        self._file = _open(self.segment, self.size)

    def append(self, new: Iterable[Frame], *, sync: bool = True) -> None:
        """Append frames, and with ``sync`` wait until the disk has them, and all before.

        Raises:
            NotWritten: the disk does not take them. Then none of them is in the log.
        """
        data = b"".join(map(_packed, new))
        try:
            if self._file.closed:
                self._file = _open(self.segment, self.size)
            _write(self._file, data)
            if sync:
                os.fdatasync(self._file.fileno())
        except OSError as error:
            self._file.close()  # what it has of them is cut with the next attempt
            raise self._not_written(error) from error
        self.size += len(data)

    def rotate(self, kept: Iterable[Frame]) -> Segment:
        """Close the newest segment, begin another one, and return the closed one.

        Args:
            kept: frames that go on in the new one, because nothing has been decided about them.

        Raises:
            NotWritten: the disk does not take it. Then nothing has changed.
        """
        self.append(())
        closed = self.segment
        try:
            segment, size = self._create(closed.log, closed.number + 1, kept)
            file = _open(segment, size)
        except OSError as error:
            raise self._not_written(error) from error
        self._file.close()
        self.segment, self.size, self._file = segment, size, file
        return closed

    def check(self) -> None:
        """Find out whether the disk takes anything.

        Raises:
            NotWritten: it does not.
        """
        path = self._folder / "check.new"
        try:
            path.write_bytes(bytes(_CHECK_BYTES))
            path.unlink()
        except OSError as error:
            raise self._not_written(error) from error

    def close(self) -> None:
        """Close the log; it may be opened again."""
        self._file.close()
        self._lock.close()

    def _create(self, log: int, number: int, kept: Iterable[Frame]) -> tuple[Segment, int]:
        """A new segment, which is there as a whole or not at all, and its length."""
        path = self._folder / f"{log:013d}-{number:08d}.wal"
        new = path.with_suffix(".new")
        data = b"".join(map(_packed, kept))
        with FileIO(new, "w") as file:
            _write(file, data)
            os.fsync(file.fileno())
        new.rename(path)
        _sync_folder(self._folder)
        return Segment(path, log, number), len(data)

    def _not_written(self, error: OSError) -> NotWritten:
        return NotWritten(f"the write-ahead log in {self._folder} cannot be written: {error.strerror}")


def frames(segment: Path) -> Iterator[Frame]:
    """The whole frames of a segment, up to the first that is not."""
    with segment.open("rb") as file:
        for data in _read(file):
            yield decode(data)


def _open(segment: Segment, size: int) -> FileIO:
    """Open a segment to append to its first ``size`` bytes; the rest is cut."""
    file = FileIO(segment.path, "r+")
    file.truncate(size)
    file.seek(size)
    return file


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        length, checksum = _HEAD.unpack(head)
        data = file.read(length) if length <= _MAX_FRAME else b""
        if not data or len(data) != length or crc32(data) != checksum:
            return
        yield data


def good_length(segment: Path) -> int:
    """Bytes of a segment up to its last whole frame."""
    with segment.open("rb") as file:
        return sum(_HEAD.size + len(data) for data in _read(file))


def _write(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _packed(frame: Frame) -> bytes:
    data = encode(frame)
    return _HEAD.pack(len(data), crc32(data)) + data


def _lock(folder: Path) -> IO[str]:
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise LogInUse(
            f"{folder}: another recorder has this write-ahead log open; each needs a folder of its own"
        ) from None
    return lock


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
