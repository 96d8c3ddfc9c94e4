"""The write-ahead log: what was synced is there again, what a kill or a full disk left by half is not."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickfence.recorder.frames import Frame, Held, Mine, Polled, Read, decided, digest, first_part
from tickfence.recorder.wal import LogInUse, NotWritten, WriteAheadLog, frames

FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None


def read(first: int, last: int, token: int = 1, kind: str = "trades") -> Read:
    return Read("AAUSDT", token, kind, [(b"5-%d" % number, [b"p", b"1"]) for number in range(first, last + 1)])


def ids(found: Sequence[Frame]) -> list[str]:
    return [entry_id.decode() for one in found if isinstance(one, Read) for entry_id, _ in one.entries]


def test_it_is_there_again_after_a_kill_in_the_middle_of_a_write(tmp_path: Path) -> None:
    written: list[Frame] = [Held("AAUSDT", 1, {"trades": "5-0"}), read(1, 2), Mine("AAUSDT", 1), read(3, 3)]
    log = WriteAheadLog(tmp_path / "whole")
    ends = [0]
    for frame in written:
        log.append([frame])
        ends.append(log.size)
    data = log.segment.path.read_bytes()
    log.close()
    for cut in sorted(
        {*range(0, len(data), 5), *ends, *(end - 1 for end in ends[1:]), *(end + 8 for end in ends[:-1])}
    ):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / log.segment.path.name).write_bytes(data[:cut])
        again = WriteAheadLog(folder)
        whole = max(number for number, end in enumerate(ends) if end <= cut)
        assert again.left == written[:whole]
        again.append([read(9, 9)])
        assert list(frames(again.segment.path)) == [*written[:whole], read(9, 9)]
        again.close()


@pytest.mark.parametrize("end", [bytes(40), b"\xff" * 40, b"\x03\x00\x00\x00\x00\x00\x00\x00abc"])
def test_what_is_no_frame_ends_it(tmp_path: Path, end: bytes, caplog: pytest.LogCaptureFixture) -> None:
    log = WriteAheadLog(tmp_path)
    log.append([read(1, 1)])
    log.close()
    with log.segment.path.open("ab") as file:
        file.write(end)
    again = WriteAheadLog(tmp_path)
    assert again.left == [read(1, 1)]
    assert vars(caplog.records[-1])["bytes_left_out"] == len(end)
    again.close()


def test_segments_are_numbered_on_and_keep_what_is_undecided(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    log.append([read(1, 2)])
    [closed] = log.rotate([read(2, 2)])
    log.append([read(3, 3)])
    log.close()
    again = WriteAheadLog(tmp_path)
    assert again.closed == [closed]
    assert (again.segment.log, again.segment.number) == (closed.log, closed.number + 1)
    assert ids(again.left) == ["5-2", "5-3"]
    again.close()


def test_a_segment_that_was_not_begun_as_a_whole_is_none(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    log.append([read(1, 1)])
    log.close()
    (tmp_path / log.segment.path.with_suffix(".new").name).write_bytes(b"half")
    again = WriteAheadLog(tmp_path)
    assert again.left == [read(1, 1)]
    assert list(tmp_path.glob("*.new")) == []
    again.close()


def test_one_process_has_it(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    with pytest.raises(LogInUse, match=r"another recorder has this write-ahead log open"):
        WriteAheadLog(tmp_path)
    log.close()


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """As a full disk: a write beyond it is done by half, then refused."""
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_takes_nothing_by_half(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    log.append([read(1, 1)])
    with no_file_larger_than(log.size + 20):
        for _ in range(2):
            with pytest.raises(NotWritten, match=r"the write-ahead log in .+ cannot be written"):
                log.append([read(2, 2)])
        with pytest.raises(NotWritten):
            log.check()
    log.check()
    log.append([read(3, 3)])
    assert ids(list(frames(log.segment.path))) == ["5-1", "5-3"]
    log.close()


class Disk:
    """A local disk that may refuse to sync, and then forgets what was to be synced, as Linux does. It may lose power.

    Args:
        monkeypatch: of the test.
        folder: whose files it keeps.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.steps: int | None = None
        self._folder = folder
        self._kept: dict[int, bytes] = {}
        self._names: dict[str, int] = {}
        monkeypatch.setattr(os, "fsync", self._sync)
        monkeypatch.setattr(os, "fdatasync", self._sync)
        monkeypatch.setattr(Path, "rename", self._renaming(Path.rename))

    def fail_at(self, steps: int | None) -> None:
        """Refuse the sync or renaming after so many others, and every second one after it."""
        self.steps = steps

    def lose_power(self, *, new_names: bool) -> None:
        """Leave what was synced; a new name that was not may be there or not."""
        names = self._now() if new_names else self._names
        for path in self._folder.iterdir():
            path.unlink()
        for name, inode in names.items():
            (self._folder / name).write_bytes(self._kept.get(inode, b""))
        self._kept = {(self._folder / name).stat().st_ino: self._kept.get(inode, b"") for name, inode in names.items()}
        self._names = self._now()
        self.steps = None

    def _now(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in self._folder.iterdir()}

    def _refuses(self) -> bool:
        if self.steps is None:
            return False
        self.steps -= 1
        return self.steps < 0 and self.steps % 2 == 1

    def _renaming(self, rename: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def renamed(path: Path, target: Path) -> Path:
            if self._refuses():
                raise OSError(errno.EIO, "Input/output error")
            return rename(path, target)

        return renamed

    def _sync(self, number: int) -> None:
        status = os.fstat(number)
        if stat.S_ISDIR(status.st_mode):
            if self._refuses():
                raise OSError(errno.EIO, "Input/output error")
            self._names = self._now()
            return
        [path] = [path for path in self._folder.iterdir() if path.stat().st_ino == status.st_ino]
        data = path.read_bytes()
        if self._refuses():
            kept = self._kept.get(status.st_ino, b"")
            with path.open("r+b") as file:
                file.write(kept + bytes(len(data) - len(kept)))
            raise OSError(errno.EIO, "Input/output error")
        self._kept[status.st_ino] = data


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Disk:
    return Disk(monkeypatch, tmp_path)


def test_a_sync_that_fails_loses_nothing_that_was_taken(disk: Disk, tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    log.append([read(1, 2)])
    log.append([Mine("AAUSDT", 1)], sync=False)
    disk.fail_at(0)
    with pytest.raises(NotWritten, match=r"cannot be written: Input/output error"):
        log.append([read(3, 3)])
    disk.fail_at(None)
    log.append([read(4, 4)])
    assert list(frames(log.segment.path)) == [read(1, 2), Mine("AAUSDT", 1), read(4, 4)]
    log.close()


def test_it_does_not_say_that_the_disk_works_again_while_it_syncs_nothing(disk: Disk, tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    disk.fail_at(0)
    with pytest.raises(NotWritten):
        log.check()
    disk.fail_at(None)
    log.check()
    log.close()


def logged(folder: Path) -> list[str]:
    return ids([frame for path in sorted(folder.glob("*.wal")) for frame in frames(path)])


steps = st.sampled_from(["append", "append", "unsynced", "rotate", "power", "power and new names"])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(steps, st.none() | st.integers(0, 4)), max_size=12))
def test_what_it_took_is_there_once_whatever_the_disk_refuses(done: list[tuple[str, int | None]]) -> None:
    with tempfile.TemporaryDirectory(dir=FAST) as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        disk, log = Disk(patch, folder), WriteAheadLog(folder)
        taken: list[str] = []
        synced = 0
        closed: list[Path] = []
        for number, (step, refused_after) in enumerate(done):
            disk.fail_at(refused_after)
            if step.startswith("power"):
                log.close()
                disk.lose_power(new_names="names" in step)
                log = WriteAheadLog(folder)
                found = logged(folder)
                assert [entry for entry in found if entry in taken[:synced]] == taken[:synced]
                assert len(found) == len(set(found))
                taken, closed = found, [one.path for one in log.closed]
                log.closed = []
            else:
                with suppress(NotWritten):
                    if step == "rotate":
                        closed += [one.path for one in log.rotate(())]
                    else:
                        log.append([read(number, number)], sync=step == "append")
                        taken.append(f"5-{number}")
                    synced = synced if step == "unsynced" else len(taken)
        disk.fail_at(None)
        closed += [one.path for one in log.rotate(())]
        assert logged(folder) == taken
        assert [*closed, log.segment.path] == sorted(folder.glob("*.wal"))
        log.close()


def polled(value: bytes, kind: str = "snapshots", token: int = 1) -> Polled:
    return Polled("AAUSDT", token, kind, 7, [value])


def test_only_what_is_decided_counts() -> None:
    frames_: list[Frame] = [
        read(1, 2),
        read(1, 9, token=2),
        Mine("AAUSDT", 1),
        read(3, 4),
        Mine("AAUSDT", 2, {"trades": "5-4", "diffs": "9-9"}),
        read(5, 5),
    ]
    assert ids(list(decided(frames_))) == ["5-1", "5-2", "5-1", "5-2", "5-3", "5-4"]


def test_a_polled_value_counts_up_to_the_last_that_was_noted() -> None:
    waiting = [polled(b"a"), polled(b"b"), polled(b"c"), polled(b"x", kind="tickers")]
    assert list(first_part(waiting, {"snapshots": digest([b"b"])})) == waiting[:2]
    assert list(first_part(waiting, {"snapshots": digest([b"z"])})) == []
    assert list(first_part(waiting, None)) == waiting


@given(st.lists(st.integers(1, 6), min_size=1), st.integers(0, 30))
def test_entries_count_up_to_a_position(sizes: list[int], end: int) -> None:
    waiting, first = [], 1
    for size in sizes:
        waiting.append(read(first, first + size - 1))
        first += size
    kept = list(first_part(waiting, {"trades": f"5-{end}"}))
    assert ids(kept) == [f"5-{number}" for number in range(1, min(end, first - 1) + 1)]
