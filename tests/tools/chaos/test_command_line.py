"""``python -m tools.chaos`` given what it cannot use: one line, status 2, no stack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.chaos import history
from tools.chaos.history import Acquisition

ROOT = Path(__file__).parents[3]


def chaos(*arguments: str) -> tuple[int, str]:
    found = subprocess.run(
        [sys.executable, "-m", "tools.chaos", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return found.returncode, found.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--minutes", "-1"), "'-1' must be a number above 0"),
        (("--minutes", "nan"), "'nan' must be a number above 0"),
        (("--faults", "0"), "'0' must be a number above 0"),
        (("--faults", "some"), "'some' must be a number above 0"),
        (("--only", "node-kil"), "--only node-kil: must be of"),
        (("--only", "node-kill,recorder-kill"), "--only recorder-kill: needs --record"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple[str, ...], said: str) -> None:
    status, errors = chaos(*arguments)
    assert status == 2
    assert said in errors
    assert "Traceback" not in errors


def test_a_history_without_writes_proves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history.save([Acquisition(1.0, "BTCUSDT", "node-001/a", 1)], path)
    status, errors = chaos("--check", str(path))
    assert status == 2
    assert "must be a history with writes" in errors
