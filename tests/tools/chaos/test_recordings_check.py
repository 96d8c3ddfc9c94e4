"""Files that are compared with what was in Redis: right ones, and ones that are wrong in each way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tools.chaos.history import Lived
from tools.chaos.recorded_files import read
from tools.chaos.recordings_check import (
    CHANGED,
    MISSING,
    NEVER,
    NO_RECORDER,
    TOO_SHORT,
    TWICE,
    UNSEEN,
    RecordingsVerdict,
    check,
)
from tools.chaos.recordings_watch import lives_of
from tools.chaos.witness import Entry, Fields, Id, Span, What, WitnessedStream

S = "BTCUSDT"
NOON = 1_764_158_400_000
TRADES, DIFFS = (S, What.TRADES), (S, What.DIFFS)
TRADE = {b"p": b"101.5", b"q": b"0.25", b"s": b"b3", b"r": b"1764158400010"}
DIFF = {
    b"U": b"5",
    b"b": b"[[101.0,2.0],[100.5,0.0]]",
    b"a": b"[]",
    b"r": b"1764158400012",
    b"t": b"0",
}
LIVED = [Lived(1000.0, 0.0, "recorder-1", 11)]

Rows = list[tuple[int, Mapping[str, Any]]]


def stream(*ids: Id, fields: Fields = TRADE, spans: tuple[Span, ...] = (Span(100.0, 115.0),)) -> WitnessedStream:
    """A stream whose entries could be read in these spans."""
    found = WitnessedStream()
    found.entries = {id_: Entry([fields], list(spans)) for id_ in ids}
    return found


STREAMS = {TRADES: stream((NOON, 7), (NOON + 1, 8)), DIFFS: stream((NOON + 2, 9), fields=DIFF)}


def trade(id_: Id, **changed: Any) -> dict[str, Any]:
    row = {"price": 101.5, "quantity": 0.25, "is_buy": True, "id_count": 3, "received_ms": NOON + 10}
    return {"symbol": S, "time_ms": id_[0], "trade_id": id_[1]} | row | changed


def diff(id_: Id, **changed: Any) -> dict[str, Any]:
    levels = {
        "bid_prices": [101.0, 100.5],
        "bid_quantities": [2.0, 0.0],
        "ask_prices": pa.array([], pa.float64()).to_pylist(),
        "ask_quantities": pa.array([], pa.float64()).to_pylist(),
    }
    row = {"first_update_id": 5, **levels, "received_ms": NOON + 12, "trades": 0}
    return {"symbol": S, "time_ms": id_[0], "last_update_id": id_[1]} | row | changed


def write(root: Path, what: What, name: str, *rows: dict[str, Any]) -> None:
    folder = root / "day=2025-11-26" / "venue=binance" / f"kind={what}"
    folder.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(list(rows)), folder / name)


def found(verdict: RecordingsVerdict) -> list[str]:
    return [violation.kind for violation in verdict.violations]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Files that hold what STREAMS hold."""
    write(tmp_path, What.TRADES, "hour-12.recorder-1.5.1-2.parquet", trade((NOON, 7)))
    write(tmp_path, What.TRADES, "hour-12.recorder-1.5.3.parquet.open", trade((NOON + 1, 8)))
    write(tmp_path, What.DIFFS, "hour-12.recorder-2.6.1.parquet.open", diff((NOON + 2, 9)))
    return tmp_path


def test_right_files_are_right(root: Path) -> None:
    verdict = check(STREAMS, LIVED, read(root))
    assert verdict == RecordingsVerdict(entries=3, due=3, recorded=3)
    assert str(verdict).endswith(
        "3 recorded; 0 not recorded, 0 recorded twice, 0 recorded with other values, 0 recorded, but never in Redis. "
        "Excused: none."
    )


def test_a_part_that_a_closed_file_holds_does_not_count(root: Path) -> None:
    write(root, What.TRADES, "hour-12.recorder-1.5.2.parquet.open", trade((NOON, 7)))
    write(root, What.TRADES, "hour-12.recorder-1.5.4.parquet.open.tmp", trade((NOON, 7)))
    assert found(check(STREAMS, LIVED, read(root))) == []


@pytest.mark.parametrize(
    "name",
    ["hour-12.recorder-1.5.4.parquet.open", "hour-12.recorder-2.6.2.parquet.open", "hour-12.recorder-2.6.1-2.parquet"],
)
def test_a_row_in_two_files_is_found(root: Path, name: str) -> None:
    write(root, What.TRADES, name, trade((NOON, 7)))
    assert found(check(STREAMS, LIVED, read(root))) == [TWICE]


def test_a_row_twice_in_one_file_is_found(root: Path) -> None:
    write(root, What.DIFFS, "hour-12.recorder-2.6.1.parquet.open", *[diff((NOON + 2, 9))] * 2)
    assert found(check(STREAMS, LIVED, read(root))) == [TWICE]


def test_a_missing_row_is_found(root: Path) -> None:
    write(root, What.TRADES, "hour-12.recorder-1.5.3.parquet.open", trade((NOON, 7), time_ms=NOON + 3, trade_id=10))
    streams = {**STREAMS, TRADES: stream((NOON, 7), (NOON + 1, 8), (NOON + 3, 10))}
    verdict = check(streams, LIVED, read(root))
    (missing,) = verdict.violations
    assert (missing.kind, missing.symbol) == (MISSING, S)
    assert missing.detail == f"trades {NOON + 1}-8: it could be read from 100.000 to 115.000"
    assert (verdict.due, verdict.recorded) == (4, 3)


@pytest.mark.parametrize(
    "changed", [{"price": 101.6}, {"is_buy": False}, {"id_count": 1}, {"received_ms": NOON}, {"quantity": None}]
)
def test_a_changed_trade_is_found(root: Path, changed: dict[str, Any]) -> None:
    write(root, What.TRADES, "hour-12.recorder-1.5.3.parquet.open", trade((NOON + 1, 8), **changed))
    assert found(check(STREAMS, LIVED, read(root))) == [CHANGED]


@pytest.mark.parametrize(
    "changed",
    [
        {"first_update_id": 4},
        {"bid_quantities": [2.0, 0.5]},
        {"trades": 2},
        {"ask_prices": [102.0], "ask_quantities": [1.0]},
    ],
)
def test_a_changed_diff_is_found(root: Path, changed: dict[str, Any]) -> None:
    write(root, What.DIFFS, "hour-12.recorder-2.6.1.parquet.open", diff((NOON + 2, 9), **changed))
    assert found(check(STREAMS, LIVED, read(root))) == [CHANGED]


def test_what_ingest_wrote_again_after_a_loss_may_have_either_version(root: Path) -> None:
    again = stream((NOON, 7), (NOON + 1, 8))
    again.entries[NOON + 1, 8].fields.append({**TRADE, b"r": b"1764158409999"})
    write(root, What.TRADES, "hour-12.recorder-1.5.3.parquet.open", trade((NOON + 1, 8), received_ms=NOON + 9999))
    assert found(check({**STREAMS, TRADES: again}, LIVED, read(root))) == []


def test_a_row_from_nowhere_is_found_unless_redis_lost_it_unseen(root: Path) -> None:
    write(root, What.TRADES, "hour-12.recorder-1.5.4.parquet.open", trade((NOON + 500, 20)))
    assert found(check(STREAMS, LIVED, read(root))) == [NEVER]
    lost = stream((NOON, 7), (NOON + 1, 8))
    lost.unseen = [((NOON + 1, 8), (NOON + 1000, 2**64))]
    verdict = check({**STREAMS, TRADES: lost}, LIVED, read(root))
    assert (found(verdict), verdict.excused) == ([], Counter({UNSEEN: 1}))


def test_a_symbol_that_nobody_watched_is_from_nowhere(root: Path) -> None:
    write(root, What.TRADES, "hour-12.recorder-1.5.4.parquet.open", trade((NOON, 1), symbol="ETHUSDT"))
    assert found(check(STREAMS, LIVED, read(root))) == [NEVER]


@pytest.mark.parametrize(
    ("spans", "lives", "excuse"),
    [
        ([(100, 102)], [(0, 1000)], None),
        ([(100, 101.9)], [(0, 1000)], TOO_SHORT),
        ([(100, 101), (103, 104)], [(0, 1000)], TOO_SHORT),  # Redis was away in between
        ([(100, 115)], [(0, 101), (115, 120)], NO_RECORDER),
        ([(100, 115)], [(0, 101.9), (113.1, 120)], NO_RECORDER),
        ([(100, 115)], [(0, 102), (115, 120)], None),
        ([(100, 115)], [(112.9, 120)], None),
        ([(100, 115)], [(113.1, 120)], NO_RECORDER),
        ([(100, 101), (103, 106)], [(0, 1000)], None),
    ],
)
def test_what_must_be_recorded(
    tmp_path: Path, spans: list[tuple[float, float]], lives: list[tuple[float, float]], excuse: str | None
) -> None:
    streams = {TRADES: stream((NOON, 7), spans=tuple(Span(*span) for span in spans))}
    lived = [Lived(until, since, "recorder-1", pid) for pid, (since, until) in enumerate(lives)]
    verdict = check(streams, lived, read(tmp_path))
    assert found(verdict) == ([] if excuse else [MISSING])
    assert verdict.excused == (Counter({excuse: 1}) if excuse else Counter())


def test_a_recorder_lives_from_its_registration_until_it_is_told_to_stop() -> None:
    ran = [
        Lived(50.0, 0.0, "recorder-1", 11),
        Lived(200.0, 112.0, "recorder-1", 11),
        Lived(300.0, 205.0, "recorder-1", 12),
        Lived(310.0, 301.0, "recorder-1", 13),  # it never registered
    ]
    assert lives_of(ran, {11: 3.0, 12: 207.0}, told_to_stop=250.0) == [
        Lived(50.0, 3.0, "recorder-1", 11),
        Lived(200.0, 112.0, "recorder-1", 11),
        Lived(250.0, 207.0, "recorder-1", 12),
    ]
