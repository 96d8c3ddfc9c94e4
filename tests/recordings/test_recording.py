"""Reading: ranges, symbols, files that vanish or are damaged."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pytest
from fsspec.asyn import AsyncFileSystem

from tests.recordings.writing import HOUR, MINUTE_MS, trade, write_trades
from tickfence.recordings import rows
from tickfence.recordings.extra import NotInstalled, load
from tickfence.recordings.kinds import Kind
from tickfence.recordings.layout import DAY_MS, HOUR_MS
from tickfence.recordings.queries import Queries
from tickfence.recordings.recording import Recording
from tickfence.recordings.schemas import SCHEMAS


@pytest.fixture(params=["local", "memory"])
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Recording:
    return Recording(str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}")


def ids(
    recording: Recording, symbols: list[str] | None = None, start: int | None = None, end: int | None = None
) -> list[int]:
    found: list[int] = recording.table(Kind.TRADES, symbols, start, end)["trade_id"].to_pylist()
    return found


def test_nothing_recorded(recording: Recording) -> None:
    assert recording.table(Kind.TRADES).schema.names == SCHEMAS[Kind.TRADES].names
    assert (
        recording.symbols() == [] and recording.span(Kind.TRADES) is None and recording.span(Kind.TRADES, "A") is None
    )


def test_closed_and_open_hours_of_several_days(recording: Recording) -> None:
    store = recording.store
    write_trades(store, 1, trade(HOUR, 1), trade(HOUR + 1, 2, "ETHUSDT"), trade(HOUR - 1, 0))
    write_trades(store, 2, trade(HOUR + DAY_MS, 3))
    store.close("r.1", HOUR + HOUR_MS, 1)
    write_trades(store, 1, trade(HOUR + DAY_MS + MINUTE_MS, 4, "ETHUSDT"), writer="r.2")
    assert ids(recording) == [0, 1, 3, 2, 4]
    assert ids(recording, ["ETHUSDT"]) == [2, 4]
    assert ids(recording, [], None, None) == []
    assert ids(recording, None, HOUR, HOUR + 1) == [1]
    assert ids(recording, None, HOUR, None) == [1, 3, 2, 4]
    assert ids(recording, None, None, HOUR + DAY_MS) == [0, 1, 2]
    assert ids(recording, None, HOUR + DAY_MS, HOUR + DAY_MS + MINUTE_MS) == [3]
    assert recording.symbols(Kind.TRADES) == ["BTCUSDT", "ETHUSDT"]
    assert recording.symbols(Kind.TRADES, HOUR + DAY_MS + 1) == ["ETHUSDT"]
    assert recording.span(Kind.TRADES) == (HOUR - 1, HOUR + DAY_MS + MINUTE_MS)
    assert recording.span(Kind.TRADES, "ETHUSDT") == (HOUR + 1, HOUR + DAY_MS + MINUTE_MS)
    assert recording.span(Kind.TRADES, "ADAUSDT") is None


@pytest.mark.parametrize("damage", ["cut", "no footer", "page", "empty"])
def test_a_damaged_file_is_named_once_and_left_out(
    recording: Recording, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = recording.store
    for number in (1, 2, 3):
        write_trades(store, number, *(trade(HOUR + number, 1000 * number + i) for i in range(100)))
    path = store.path(store.files(Kind.TRADES)[1])
    whole = store.fs.cat_file(path)
    broken = {
        "cut": whole[:-50],
        "no footer": whole[: len(whole) // 2],
        "page": whole[:4] + b"\xff" * 200 + whole[204:],
        "empty": b"",
    }
    store.fs.pipe_file(path, broken[damage])
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert {number // 1000 for number in ids(recording)} == {1, 3}
    assert all(len(record.getMessage().splitlines()) == 1 for record in caplog.records)
    [line] = caplog.messages
    assert line.startswith(f"{path} cannot be read and is left out: ")


def test_an_hour_that_is_closed_while_it_is_read(recording: Recording) -> None:
    store = recording.store
    for number in (1, 2):
        write_trades(store, number, trade(HOUR + number, number))
    listings = []

    def read(files: list[object]) -> list[int]:
        listings.append(files)
        if len(listings) == 1:  # now the recorder closes the hour, and the files are gone
            store.close("r.1", HOUR + HOUR_MS, 2)
        return [len(rows.trades(rows.table(Kind.TRADES, []))) or len(store.fs.cat_file(store.path(f))) for f in files]  # type: ignore[arg-type]

    assert len(recording.over(Kind.TRADES, None, None, read)) == 1  # type: ignore[arg-type]
    assert [len(files) for files in listings] == [2, 1]


def test_a_row_that_two_recorders_wrote_is_read_once(recording: Recording) -> None:
    both = [trade(HOUR, 1), trade(HOUR, 2), trade(HOUR, 2, "ETHUSDT")]
    write_trades(recording.store, 1, *both, trade(HOUR, 3))
    write_trades(recording.store, 1, *both, trade(HOUR + 1, 1), writer="r.2")
    assert ids(recording) == [1, 2, 3, 1, 2]
    events = rows.table(Kind.EVENTS, [rows.event("1764151200000-3", {"kind": "node"})])
    for writer in ("r.1", "r.2"):
        recording.store.write(events, Kind.EVENTS, writer, 1)
    assert len(rows.events(recording.table(Kind.EVENTS))) == len(Queries(recording).events(0, 2**60)) == 1


def test_an_error_that_is_not_of_the_files(recording: Recording) -> None:
    write_trades(recording.store, 1, trade(HOUR, 1))
    with pytest.raises(ZeroDivisionError):
        recording.over(Kind.TRADES, None, None, lambda files: 1 // (len(files) - 1))


def test_an_answer_that_takes_too_long(tmp_path: Path) -> None:
    recording = Recording(str(tmp_path), within_s=0.1)
    write_trades(recording.store, 1, trade(HOUR, 1))
    endless = "SELECT sum(hash(range)::DOUBLE) AS price FROM read_parquet($files), range(1000000000000)"
    with pytest.raises(TimeoutError, match=r"longer than 0\.1 s"):
        recording.ask(Kind.TRADES, None, None, endless, {}, ["price"])


class HangingStore(AsyncFileSystem):
    """A store over the network that never answers."""

    protocol = "hanging"

    async def _ls(self, path: str, detail: bool = True, **options: Any) -> Any:  # noqa: ARG002 - as fsspec calls it
        await asyncio.sleep(60)


def test_listing_the_files_takes_of_the_time_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recording("memory://slow", within_s=0.1)
    for day in range(5):
        write_trades(recording.store, 1, trade(HOUR + day * DAY_MS, 1))
    store, listed = recording.store.fs, []
    ls = store.ls

    def slow(path: str, **options: Any) -> Any:
        time.sleep(0.03)
        listed.append(path)
        return ls(path, **options)

    monkeypatch.setattr(store, "ls", slow)
    with pytest.raises(TimeoutError, match=r"longer than 0\.1 s"):
        recording.ask(Kind.TRADES, None, None, "SELECT price FROM read_parquet($files)", {}, ["price"])
    assert len(listed) < 5, "of eleven folders"


def test_a_store_that_does_not_answer_is_not_waited_for() -> None:
    fsspec.register_implementation("hanging", HangingStore, clobber=True)
    with pytest.raises(TimeoutError):
        Recording("hanging://recordings", within_s=0.1).symbols()


def test_without_the_extra() -> None:
    lacking = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from tickfence.recordings import extra, kinds, layout\n"
        "try: extra.load('recording')\n"
        "except extra.NotInstalled as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", lacking], capture_output=True, text=True, check=True).stdout
    assert said == (
        "recordings need the package pyarrow, which is not installed: pip install 'tickfence[recordings]'\n"
    )
    assert load("recording").Recording is Recording
    assert issubclass(NotInstalled, ImportError)


def test_a_question_that_needs_too_much_memory_is_refused_and_no_file_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_trades(Recording(str(tmp_path)).store, 1, trade(HOUR, 1))
    recording = Recording(str(tmp_path), within_s=10)
    examined: list[object] = []
    monkeypatch.setattr(recording, "_explained", examined.append)
    large = "SELECT a.range AS time_ms FROM range(30000000) AS a, read_parquet($files) ORDER BY hash(a.range)"
    with pytest.raises(duckdb.OutOfMemoryException):
        recording.ask(Kind.TRADES, None, None, large, {}, ["time_ms"])
    assert not examined
