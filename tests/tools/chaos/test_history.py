"""A history on disk is the same history."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.chaos.history import (
    Acquisition,
    Book,
    Injected,
    Memory,
    Record,
    Refused,
    StackStarted,
    Stall,
    Unobserved,
    Write,
    WrittenToOldMaster,
    load,
    save,
    stacks,
)

ALL: list[Record] = [
    StackStarted(0.5, "single"),
    Acquisition(1.0, "BTCUSDT", "node-001/a", 10),
    Write(1.5, "BTCUSDT", "node-001/a", 10, seq=11, update_id=7, depth="0123"),
    Write(1.6, "BTCUSDT", "node-001", 10, report=False),
    Book(1.6, "BTCUSDT", 7, "0123"),
    WrittenToOldMaster(1.7, "127.0.0.1:6379", Write(1.7, "BTCUSDT", "node-001/a", 10, seq=12)),
    Refused(1.8, "BTCUSDT", "node-001/a"),
    Unobserved(2.0, 1.7),
    Unobserved(2.0, 1.7, "127.0.0.1:6379"),
    Stall(2.0, 55.5),
    Memory(2.0, "node-001", 4711, 65_432),
    Injected(2.0, "node-kill", ("BTCUSDT", "ETHUSDT"), 2.0, 3.0, victim="node-001", owner_gone="node-001/a"),
]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save(ALL, tmp_path / "history.jsonl")
    assert load(tmp_path / "history.jsonl") == ALL


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    save(ALL[:1], path)
    with path.open("a") as file:
        file.write('{"type":"take"}\n')
    with pytest.raises(ValueError, match=r"history.jsonl, line 2: not a record"):
        load(path)


def test_each_stack_has_a_history_of_its_own() -> None:
    first, second = [StackStarted(1.0, "single"), ALL[1]], [StackStarted(2.0, "sentinel"), ALL[2], ALL[3]]
    assert stacks([*first, *second]) == [first, second]
    assert stacks(ALL[1:]) == [ALL[1:]]
