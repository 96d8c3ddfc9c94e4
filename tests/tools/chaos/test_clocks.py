"""What a wrong clock looks like in a report, and that a process can be given one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from tools.chaos.faults.clocks import KINDS, OFFSETS_S, faketime, skewed, time_flaw

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("updated_at", "data_age_ms", "flaw"),
    [
        (NOW_MS - 250, 80, ""),
        (NOW_MS + 3_600_000, 80, "updatedAt is +3600000 ms from now"),
        (NOW_MS - 5000, 80, "updatedAt is -5000 ms from now"),
        (NOW_MS, -4900, "data_age_ms is -4900"),
        (NOW_MS, 5100, "data_age_ms is 5100"),
    ],
)
def test_times_that_cannot_be(updated_at: int, data_age_ms: int, flaw: str) -> None:
    report = {"symbol": "BTCUSDT", "updatedAt": updated_at, "data_age_ms": data_age_ms}
    assert time_flaw(msgspec.json.encode(report), NOW_MS) == flaw


def test_without_the_library_the_kind_says_why_it_is_skipped(tmp_path: Path) -> None:
    assert faketime((tmp_path,)) is None
    assert bool(faketime()) is (KINDS[0].skip == "")


@pytest.mark.parametrize("offset_s", OFFSETS_S)
def test_a_process_is_given_a_wrong_clock(offset_s: int) -> None:
    if (library := faketime()) is None:
        pytest.skip("no libfaketime")
    told = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time(), time.monotonic())"],
        env={**os.environ, **skewed(library, offset_s)},
        capture_output=True,
        text=True,
        check=True,
    )
    wall, monotonic = map(float, told.stdout.split())
    assert abs(wall - time.time() - offset_s) < 3
    assert abs(monotonic - time.monotonic()) < 3
