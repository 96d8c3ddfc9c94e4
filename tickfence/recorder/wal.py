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
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import IO, NamedTuple, Self
from zlib import crc32

from tickfence.recorder.frames import Frame, decode, encode
from tickfence.recordings.durable import sync_folder

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

    @classmethod
    def named(cls, folder: Path, log: int, number: int) -> Self:
        """The segment with this number, in its folder."""
        return cls(folder / f"{log:013d}-{number:08d}.wal", log, number)


class WriteAheadLog:
    """One recorder's log.

    A file is not trusted after a failed write or sync: the system may have dropped what it had not written yet, and says
    so only once. The next call then writes the segment again, as another file that takes the place of the first. So does
    the next start, which cannot know.

    Args:
        folder: for its segments; created if missing.

    Attributes:
        segment: the newest, to which is appended.
        size: its bytes.
        left: its frames, as they were when the log was opened.
        closed: segments that nobody has been given to convert, oldest first.

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
        if not self.closed:
            segment = Segment.named(folder, time.time_ns() // 1_000_000, 1)
            self._begin(_beside(segment, b""), segment, 0)
        else:
            segment = self.closed.pop()
            good = good_length(segment.path)
            if size := segment.path.stat().st_size - good:
                told = {"segment": segment.path.name, "at": good, "bytes_left_out": size}
                logger.warning("log cut at its last whole frame", extra=told)
            self._begin(_beside(segment, segment.path.read_bytes()[:good]), segment, good)
            self.left = list(frames(segment.path))
        sync_folder(folder)

    def append(self, new: Iterable[Frame], *, sync: bool = True) -> None:
        """Append frames, and with ``sync`` wait until the disk has them, and all before.

        Raises:
            NotWritten: the disk does not take them. Then none of them is in the log.
        """
        data = b"".join(map(_packed, new))
        try:
            if self._file.closed:
                self._write_again()
            _write(self._file, data)
            if sync:
                os.fdatasync(self._file.fileno())
        except OSError as error:
            raise self._not_written(error) from error
        self.size += len(data)
        if sync:
            self._synced, self._unsynced = self.size, b""
        else:
            self._unsynced += data

    def rotate(self, kept: Iterable[Frame]) -> list[Segment]:
        """Close the newest segment, begin another one, and return those to be converted, oldest first.

        Args:
            kept: frames that go on in the new one, because nothing has been decided about them.

        Raises:
            NotWritten: the disk does not take it. Nothing is lost: the next call returns what this one did not.
        """
        self.append(())
        data = b"".join(map(_packed, kept))
        segment = Segment.named(self._folder, self.segment.log, self.segment.number + 1)
        try:
            file = _beside(segment, data)
        except OSError as error:
            raise self._not_written(error) from error
        # From here on the new segment is there, so nothing may be appended to the old one any more.
        self._give_up()
        self.closed.append(self.segment)
        self._begin(file, segment, len(data))
        try:
            sync_folder(self._folder)
        except OSError as error:
            raise self._not_written(error) from error
        closed, self.closed = self.closed, []
        return closed

    def check(self) -> None:
        """Find out whether the disk takes anything.

        Raises:
            NotWritten: it does not.
        """
        path = self._folder / "check.new"
        try:
            with FileIO(path, "w") as file:
                _write(file, bytes(_CHECK_BYTES))
                os.fsync(file.fileno())
            path.unlink()
        except OSError as error:
            raise self._not_written(error) from error
        self.append(())

    def close(self) -> None:
        """Close the log; it may be opened again."""
        self._file.close()
        self._lock.close()

    def _begin(self, file: FileIO, segment: Segment, size: int) -> None:
        """Append to a segment from here on; the disk has all of its ``size`` bytes."""
        self._file, self.segment, self.size = file, segment, size
        self._synced, self._unsynced = size, b""

    def _write_again(self) -> None:
        """Write the segment to another file: what the disk had for good, and what was appended since."""
        data = self.segment.path.read_bytes()[: self._synced]
        if len(data) < self._synced:
            raise OSError(
                f"{self.segment.path.name} has lost what was synced: {len(data)} of {self._synced} bytes are left"
            )
        data += self._unsynced
        self._begin(_beside(self.segment, data), self.segment, len(data))
        sync_folder(self._folder)

    def _give_up(self) -> None:
        with suppress(OSError):
            self._file.close()

    def _not_written(self, error: OSError) -> NotWritten:
        self._give_up()
        return NotWritten(f"the write-ahead log in {self._folder} cannot be written: {error.strerror or error}")


def frames(segment: Path) -> Iterator[Frame]:
    """The whole frames of a segment, up to the first that is not."""
    with segment.open("rb") as file:
        for data in _read(file):
            yield decode(data)


def _beside(segment: Segment, data: bytes) -> FileIO:
    """Give a segment this content as a whole or not at all, and return the file, open at its end."""
    new = segment.path.with_suffix(".new")
    file = FileIO(new, "w")
    try:
        _write(file, data)
        os.fsync(file.fileno())
        new.rename(segment.path)
    except OSError:
        with suppress(OSError):
            file.close()
        raise
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
