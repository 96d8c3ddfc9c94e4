"""From segments of the log to files: each row once, also when a conversion is killed or cannot write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.processes import wait_until
from tickfence.analytics import basis
from tickfence.analytics.history_row import HistoryRow, pack
from tickfence.monitoring import recorder_metrics as metrics
from tickfence.recorder.carries import Carries
from tickfence.recorder.converter import LATE_MS, Converter
from tickfence.recorder.frames import Entry, Frame, Mine, Polled, Read
from tickfence.recorder.tables import tables
from tickfence.recorder.wal import Segment, WriteAheadLog
from tickfence.recordings import rows
from tickfence.recordings.kinds import Kind
from tickfence.recordings.layout import HOUR_MS
from tickfence.recordings.recording import Recording
from tickfence.recordings.store import Store
from tickfence.streams.codec import Snapshot, encode_snapshot

HOUR = 500_000
"""Hours since 1970."""
START_MS = HOUR * HOUR_MS
INPUTS = basis.Inputs("1-1", "1-1", 0, 0, 1, 1, *[None] * 10)


def trade(number: int, at_ms: int = START_MS) -> Entry:
    return b"%d-%d" % (at_ms + number, number), [b"p", b"1.5", b"q", b"2", b"s", b"b", b"r", b"7"]


def trades(*numbers: int, at_ms: int = START_MS) -> Read:
    return Read("AAUSDT", 1, Kind.TRADES, [trade(number, at_ms) for number in numbers])


def fail(_: str, error: ValueError) -> None:
    raise error


@pytest.fixture
def log(tmp_path: Path) -> Iterator[WriteAheadLog]:
    log = WriteAheadLog(tmp_path / "log")
    yield log
    log.close()


def segment(log: WriteAheadLog, *frames: Frame) -> Segment:
    log.append([*frames, Mine("AAUSDT", 1)])
    [closed] = log.rotate(())
    return closed


def recorded(folder: Path, kind: Kind = Kind.TRADES, column: str = "trade_id") -> list[object]:
    return list(Recording(str(folder)).table(kind)[column].to_pylist())


def errors(failure: metrics.Failure) -> float:
    return metrics.registry.get_sample_value("nt_recorder_errors_total", {"operation": failure}) or 0.0


def test_rows_are_there_once_whenever_a_conversion_was_killed(log: WriteAheadLog, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "files"))
    first, second = segment(log, trades(1, 2)), segment(log, trades(3), trades(4, at_ms=START_MS + HOUR_MS))
    kept = first.path.read_bytes(), second.path.read_bytes()
    for now_ms in (START_MS, START_MS + HOUR_MS + LATE_MS - 1, START_MS + HOUR_MS + LATE_MS, START_MS + 2 * HOUR_MS):
        for one, data in zip((first, second), kept, strict=True):
            one.path.write_bytes(data)  # as if it had not come to deleting it
            Converter(store, "recorder-1").convert(one, now_ms)
            assert not one.path.exists()
        assert recorded(tmp_path / "files") == [1, 2, 3, 4]
    names = sorted(path.name for path in (tmp_path / "files").rglob("*.parquet*"))
    assert [name.endswith(".open") for name in names] == [False, False, True]


def names(folder: Path) -> list[str]:
    return sorted(path.name.split(".", 3)[3] for path in folder.rglob("*.parquet*"))


def test_a_recorder_that_was_down_for_days_closes_what_it_had_left(log: WriteAheadLog, tmp_path: Path) -> None:
    files, now_ms = tmp_path / "files", START_MS + 100 * HOUR_MS
    left = [segment(log, trades(number)) for number in (1, 2, 3)]
    Converter(Store(str(files)), "r").convert(left[0], START_MS)
    again = Converter(Store(str(files)), "r")
    for one in left[1:]:
        again.convert(one, now_ms)
    again.convert(segment(log, trades(4, at_ms=now_ms)), now_ms)
    again.convert(segment(log, trades(5, at_ms=now_ms)), now_ms + HOUR_MS + LATE_MS)
    assert [name for name in names(files) if name.endswith(".open")] == []
    assert recorded(files) == [1, 2, 3, 4, 5]


def test_a_busy_hour_is_several_files(log: WriteAheadLog, tmp_path: Path) -> None:
    files = tmp_path / "files"
    size = [*Store(str(tmp_path / "one")).write(tables([trades(1)], fail)[Kind.TRADES], Kind.TRADES, "r.1", 1).values()]
    converter = Converter(Store(str(files)), "r", file_bytes=2 * size[0] - 50)
    for number in range(1, 6):
        converter.convert(segment(log, trades(number)), START_MS)
    assert names(files) == ["1-2.parquet", "3-4.parquet", "5.parquet.open"]
    again = Converter(Store(str(files)), "r", file_bytes=2 * size[0] - 50)
    again.convert(segment(log, trades(6)), START_MS)
    assert names(files) == ["1-2.parquet", "3-4.parquet", "5-6.parquet"]
    assert recorded(files) == [1, 2, 3, 4, 5, 6]


def test_a_name_that_no_file_can_have_is_changed(log: WriteAheadLog, tmp_path: Path) -> None:
    Converter(Store(str(tmp_path / "files")), "recorder@host/7").convert(segment(log, trades(1)), START_MS)
    [file] = (tmp_path / "files").rglob("*.open")
    assert file.name == f"hour-{HOUR % 24:02}.recorder-host-7.{log.segment.log}.1.parquet.open"


def test_each_kind_becomes_rows(log: WriteAheadLog, tmp_path: Path) -> None:
    book = Snapshot(last_update_id=9, stream_id="5-9", bids=[(1.0, 2.0)], asks=[], time=START_MS)
    row = HistoryRow(time_ms=START_MS, token=3, health=99.0, status="ok")
    made = basis.Basis(
        version=basis.VERSION, kind=basis.Kind.SLOW, number=1, at_ms=START_MS, owner="n/1", token=3, inputs=INPUTS
    )
    diff: Entry = b"%d-9" % START_MS, [b"U", b"8", b"b", b"[[1.5,2]]", b"a", b"[]", b"r", b"7", b"t", b"1"]
    given: list[Frame] = [
        trades(1),
        Read("AAUSDT", 1, Kind.DIFFS, [diff]),
        Read("AAUSDT", 1, Kind.HISTORY, [(b"%d-0" % START_MS, [b"r", pack(row)])]),
        Read("AAUSDT", 1, Kind.BASES, [(b"%d-0" % START_MS, [b"b", basis.encode(made)])]),
        Polled("AAUSDT", 1, Kind.SNAPSHOTS, START_MS, [encode_snapshot(book)]),
        Polled("AAUSDT", 1, Kind.TICKERS, START_MS, [b"1.5", b"0.1", None, b"nan", b"9", b"%d" % START_MS]),
        Polled("AAUSDT", 1, Kind.TICKERS, START_MS, [b"1.5", None, None, None, None, None]),
        Polled("AAUSDT", 1, Kind.INFOS, START_MS, [b"0.01", b"0.1", b"trading", b"7", b"AA", b"USDT"]),
        Polled("AAUSDT", 1, Kind.CARRIES, START_MS, [b"carry"]),
        Polled("AAUSDT", 1, Kind.SECTIONS, START_MS, [b"{}"]),
        Read("events", 2, Kind.EVENTS, [(b"%d-0" % START_MS, [b"kind", b"node", b"node", b"node-001"])]),
        Mine("events", 2),
    ]
    before = errors(metrics.Failure.ENTRY)
    Converter(Store(str(tmp_path / "files")), "recorder-1").convert(segment(log, *given), START_MS)
    found = Recording(str(tmp_path / "files"))
    assert {kind: len(found.table(kind)) for kind in Kind} == dict.fromkeys(Kind, 1) | {Kind.TICKERS: 2}
    assert found.table(Kind.TICKERS)["time_ms"].to_pylist() == [START_MS] * 2
    assert found.table(Kind.EVENTS)["fields"].to_pylist() == ['{"kind": "node", "node": "node-001"}']
    assert errors(metrics.Failure.ENTRY) == before


def test_an_entry_that_does_not_decode_costs_no_other(log: WriteAheadLog, tmp_path: Path) -> None:
    bad: list[Frame] = [
        Read("AAUSDT", 1, Kind.TRADES, [(b"5-7", [b"p", b"x"])]),
        Read("AAUSDT", 1, Kind.HISTORY, [(b"5-7", [b"x", b"y"])]),
        Polled("AAUSDT", 1, Kind.SNAPSHOTS, START_MS, [b"{"]),
    ]
    before = errors(metrics.Failure.ENTRY)
    Converter(Store(str(tmp_path / "files")), "recorder-1").convert(segment(log, *bad, trades(1)), START_MS)
    assert recorded(tmp_path / "files") == [1]
    assert errors(metrics.Failure.ENTRY) == before + 3


def test_a_damaged_segment_is_set_aside_and_told(
    log: WriteAheadLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log.append([trades(1), Mine("AAUSDT", 1)])
    good = log.size
    one = segment(log, trades(2))
    data = bytearray(one.path.read_bytes())
    data[good + 9] ^= 1
    one.path.write_bytes(data)
    before = errors(metrics.Failure.FILES)
    Converter(Store(str(tmp_path / "files")), "recorder-1").convert(one, START_MS)
    assert recorded(tmp_path / "files") == [1]
    assert errors(metrics.Failure.FILES) == before + 1
    assert not one.path.exists() and one.path.with_suffix(".bad").read_bytes() == data
    assert f"what follows its first {good} bytes is not recorded" in caplog.text


def test_few_rows_are_in_memory_as_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    made = rows.table

    def counted(kind: Kind, some: list[rows.Row]) -> pa.Table:
        sizes.append(len(some))
        return made(kind, some)

    monkeypatch.setattr(rows, "table", counted)
    monkeypatch.setattr("tickfence.recorder.tables.ROWS_AT_ONCE", 10)
    found = tables([trades(*range(10 * part, 10 * part + 10)) for part in range(5)], fail)
    assert found[Kind.TRADES]["trade_id"].to_pylist() == list(range(50))
    assert max(sizes) <= 20


def test_what_cannot_be_written_waits_and_is_tried_again(log: WriteAheadLog, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.write_text("no folder")
    before = errors(metrics.Failure.FILES)
    converter = Converter(Store(str(folder)), "recorder-1")
    one = segment(log, trades(1))
    converter.add(one)
    converter.start()
    wait_until(lambda: errors(metrics.Failure.FILES) > before, "it fails")
    assert one.path.exists()
    assert converter.waiting_bytes > 0
    folder.unlink()
    assert converter.finish(10)
    assert recorded(folder) == [1]
    assert converter.waiting_bytes == 0


def test_a_segment_that_cannot_be_read_keeps_no_other_back(log: WriteAheadLog, tmp_path: Path) -> None:
    of_another_version = Read("AAUSDT", 1, "candles", [trade(1)])
    poison, good = segment(log, of_another_version), segment(log, trades(2))
    before = errors(metrics.Failure.FILES)
    converter = Converter(Store(str(tmp_path / "files")), "recorder-1")
    converter.start()
    converter.add(poison)
    converter.add(good)
    assert converter.finish(20)
    assert recorded(tmp_path / "files") == [2]
    assert [path.name for path in poison.path.parent.glob("*.bad")] == [poison.path.with_suffix(".bad").name]
    assert errors(metrics.Failure.FILES) == before + 1


def test_a_segment_that_is_gone_is_told_and_does_not_count_as_written(log: WriteAheadLog, tmp_path: Path) -> None:
    before = errors(metrics.Failure.FILES)
    converter = Converter(Store(str(tmp_path / "files")), "recorder-1")
    one = segment(log, trades(1))
    converter.add(one)
    one.path.unlink()
    converter.start()
    wait_until(lambda: errors(metrics.Failure.FILES) > before, "it fails")
    assert not converter.finish(0.1)


def start_basis(carried: bytes | None) -> bytes:
    before = basis.Before(0, 0, False, 0, "0-0", 0)
    start = basis.Start("first", True, before, 1, 1, carried=carried and basis.digest(carried))
    return basis.encode(
        basis.Basis(
            version=basis.VERSION,
            kind=basis.Kind.START,
            number=0,
            at_ms=1,
            owner="n/1",
            token=3,
            inputs=INPUTS,
            start=start,
        )
    )


def test_a_carry_is_recorded_at_the_start_each_hour_and_when_an_owner_took_it_over() -> None:
    carries = Carries()
    assert [carries.saw(b"%d" % number, START_MS) for number in range(3)] == [True, False, False]
    assert carries.saw(b"3", START_MS + HOUR_MS)
    assert carries.named(start_basis(b"1")) == b"1"
    assert carries.named(start_basis(b"unknown")) is None
    assert carries.named(start_basis(None)) is None
    assert carries.named(b"no basis") is None
