"""docs/recordings.md says what is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.tools.simulator.recorded_data import START, record
from tickfence.analytics.history_row import HistoryRow
from tickfence.recordings import rows
from tickfence.recordings.kinds import Kind
from tickfence.recordings.layout import HOUR_MS
from tickfence.recordings.schemas import SCHEMAS
from tickfence.recordings.store import Store

PAGE = (ROOT / "docs" / "recordings.md").read_text()
PROGRAMS = [text for language, text in blocks(PAGE) if language == "python"]


def test_the_page_lists_every_column() -> None:
    listed = {}
    for kinds, columns in re.findall(r"^\| (`[a-z`, ]+`) \| (`[a-z_`, ]+`) \|", PAGE, re.MULTILINE):
        for kind in re.findall(r"\w+", kinds):
            listed[kind] = re.findall(r"\w+", columns)
    common = {"symbol", "time_ms"}
    assert listed == {
        kind: [name for name in SCHEMAS[kind].names if kind is Kind.EVENTS or name not in common] for kind in Kind
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("page")
    url = str(found / "recordings")
    record(url, ["BTCUSDT"], 5)
    row = HistoryRow(time_ms=START, token=1, health=100.0, mid_price=67_000.5, status="ok")
    store = Store(url)
    store.write(rows.table(Kind.HISTORY, [rows.history_row("BTCUSDT", f"{START}-0", row)]), Kind.HISTORY, "r.1", 2)
    store.close("r.1", START + HOUR_MS, 2)
    return found


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_the_page(program: str, folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"BTCUSDT: \d+ trades|1764151140000 67000.5|BTCUSDT +│ 2025-11-26 09:59:00", done.stdout)
