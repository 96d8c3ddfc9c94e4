"""The write-ahead log: what was synced is there again, what a kill or a full disk left by half is not."""

from __future__ import annotations

import errno
import resource
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.recorder.frames import Frame, Held, Mine, Polled, Read, decided, digest, first_part
from tickfence.recorder.wal import LogInUse, NotWritten, WriteAheadLog, frames


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
def test_what_is_no_frame_ends_it(tmp_path: Path, end: bytes) -> None:
    log = WriteAheadLog(tmp_path)
    log.append([read(1, 1)])
    log.close()
    with log.segment.path.open("ab") as file:
        file.write(end)
    again = WriteAheadLog(tmp_path)
    assert again.left == [read(1, 1)]
    again.close()


def test_segments_are_numbered_on_and_keep_what_is_undecided(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    log.append([read(1, 2)])
    closed = log.rotate([read(2, 2)])
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


def test_a_segment_that_cannot_be_opened_changes_nothing(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    log.append([read(1, 2)])
    before = log.segment
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tickfence.recorder.wal.FileIO", _only_for_writing)
        with pytest.raises(NotWritten):
            log.rotate([read(2, 2)])
    assert log.segment == before
    log.append([read(3, 3)])
    assert log.rotate([]) == before
    assert ids(list(frames(before.path))) == ["5-1", "5-2", "5-3"]
    log.close()


def _only_for_writing(path: Path, mode: str) -> FileIO:
    if mode != "w":
        raise OSError(errno.EMFILE, "Too many open files")
    return FileIO(path, mode)


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
