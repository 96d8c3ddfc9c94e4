"""Short runs of the fuzz against the product, and against one that is broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run(*command: str) -> tuple[int, str]:
    """Exit status and output of a Python command."""
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("seed", [["--seed", "1"], []], ids=["one seed", "any seed"])
def test_every_report_is_true(seed: list[str]) -> None:
    status, output = run("-m", "tools.fuzz", "--messages", "12000", "--era", "3000", *seed)
    assert status == 0, output
    assert all(f": {venue}, " in output for venue in ("binance", "okx"))


def test_a_product_that_ignores_gaps_is_found() -> None:
    status, output = run("-m", "tests.tools.fuzz.broken_product")
    assert status == 1, output
    assert "NOT TRUE" in output
