"""``python -m tools.chaos`` given what it cannot use: one line, status 2, no stack."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.chaos import history
from tools.chaos.__main__ import main
from tools.chaos.history import Acquisition

Chaos = Callable[..., tuple[int, str]]


@pytest.fixture
def chaos(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Chaos:
    """Runs the command in this process: its status, and what it wrote to standard error."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["chaos", *arguments])
        try:
            status = main()
        except SystemExit as end:  # how argparse refuses
            status = int(end.code or 0)
        return status, capsys.readouterr().err

    return run


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
def test_bad_arguments_are_named(chaos: Chaos, arguments: tuple[str, ...], said: str) -> None:
    status, errors = chaos(*arguments)
    assert status == 2
    assert said in errors


def test_a_history_without_writes_proves_nothing(chaos: Chaos, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history.save([Acquisition(1.0, "BTCUSDT", "node-001/a", 1)], path)
    status, errors = chaos("--check", str(path))
    assert status == 2
    assert "must be a history with writes" in errors
