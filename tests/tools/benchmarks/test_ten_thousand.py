"""The scenario of 10,000 symbols, with a few: it finds what it is to measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.local.roles import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]


def test_a_killed_node_s_symbols_are_dispatched_and_reported_again(tmp_path: Path) -> None:
    size = ("--symbols", "60", "--nodes", "3", "--beats", "2", "--period", "1", "--steady-periods", "4")
    faults = ("--restarts", "0", "--beat-kills", "0", "--no-master-kill")
    command = [sys.executable, "-m", "tools.benchmarks.ten_thousand", *size, *faults, "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=140, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "ten_thousand.png").stat().st_size
    found = json.loads((tmp_path / "ten_thousand.json").read_text())["found"]
    kill, steady = found["phases"]["kill node-001"], found["phases"]["steady"]
    assert 0 < kill["symbols"] < 60
    assert 0 < kill["first dispatch"] <= kill["last dispatch"] <= kill["last report"]
    assert steady["reports"]["due"] == 240 and steady["reports"]["silent"] == 0
    assert sum(found["per_second"]) >= steady["reports"]["written"]
