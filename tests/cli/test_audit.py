"""``celery audit`` over files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.cli.processes import typed
from tests.tasks.recorded_world import S, World
from tickfence.recordings.kinds import Kind
from tickfence.recordings.schemas import SCHEMAS, in_order
from tickfence.recordings.store import Store


@pytest.fixture(scope="module")
def world() -> World:
    one = World(5)
    one.advance(20)
    for cycle in range(40):
        one.advance(3)
        one.cycle()
        if cycle % 8 == 0:
            one.cycle(slow=True)
    return one


def run(world: World, folder: Path, *options: str) -> tuple[int, str]:
    store = Store(str(folder))
    for number, (kind, rows) in enumerate(world.rows.items(), 1):
        store.write(in_order(kind, pa.Table.from_pylist(rows, SCHEMAS[kind])), kind, "recorder-1.0", number)
    result = typed("redis://localhost:1/0", " ".join(("audit", *options)), env={"NT_RECORDINGS": str(folder)})
    return result.exit_code, result.output


def one_of(output: str) -> Any:
    [found] = json.loads(output)
    return found


def test_equal_reports_are_counted(world: World, tmp_path: Path) -> None:
    status, output = run(world, tmp_path, "--json")
    found = one_of(output)
    assert (status, found["symbol"], found["first"], found["notWarm"]) == (0, S, None, {})
    assert found["compared"] == found["equal"] == len(world.made)


def test_a_time_without_reports_is_said(world: World, tmp_path: Path) -> None:
    status, output = run(world, tmp_path, "--from", "2023-11-14T00:00", "--to", "2023-11-14T01:00")
    assert status == 1
    assert "Error: no report from 2023-11-14T00:00:00.000Z to 2023-11-14T01:00:00.000Z could be compared; " in output
    assert f"recorded are {S} from 2023-11-14T22:13:" in output


def test_a_symbol_that_is_not_recorded_is_said(world: World, tmp_path: Path) -> None:
    status, output = run(world, tmp_path, "--symbols", "ETHUSDT")
    assert (status, output.split(" in ")[0]) == (1, "Error: nothing is recorded of ETHUSDT")


def test_one_changed_quantity_ends_it_with_status_1(world: World, tmp_path: Path) -> None:
    _, row = world.newest(5, Kind.DIFFS)
    row["ask_prices"], row["ask_quantities"] = [*row["ask_prices"], 100.01], [*row["ask_quantities"], 7.25]
    status, output = run(world, tmp_path)
    assert status == 1, output
    assert f"{S}: " in output
    assert "differ. First: " in output
