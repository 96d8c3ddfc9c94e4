"""Memory and stalls: sampled, and described."""

from __future__ import annotations

import os
import sys

import pytest

from tests.processes import wait_until
from tools.chaos.history import Memory, Record, StackStarted
from tools.chaos.machine import Growth, MemorySampler, growth, resident_kb, table

MB = 1024


def samples(role: str, sizes_mb: list[float], every_s: float = 5.0, pid: int = 7, start: float = 0.0) -> list[Record]:
    return [Memory(start + n * every_s, role, pid, round(size * MB)) for n, size in enumerate(sizes_mb)]


def test_growth_is_from_the_second_quarter_to_the_last() -> None:
    sizes = [50.0] + [100.0] * 3 + [102.0, 103.0, 102.0, 102.0] + [90.0] * 4 + [104.0, 104.0, 120.0, 104.0]
    # From the middle of one quarter to the middle of the other: 8 samples, 450 s apart.
    assert growth(samples("node-001", sizes, every_s=450)) == [Growth("node-001", 50.0, 102.0, 104.0, 2.0)]


def test_flat_is_flat() -> None:
    (flat,) = growth(samples("redis", [10.0] * 240))
    assert flat.per_hour == 0


def test_a_role_that_was_restarted_or_hardly_seen_tells_nothing() -> None:
    restarted = [*samples("node-001", [50.0] * 10), *samples("node-001", [50.0] * 10, pid=8, start=100)]
    assert growth([*restarted, *samples("beat-1", [40.0] * 7)]) == []


def test_each_stack_has_processes_of_its_own() -> None:
    first, second = samples("redis", [10.0] * 8), samples("redis", [20.0] * 8, pid=8, start=100)
    found = growth([StackStarted(0.0, "single"), *first, StackStarted(90.0, "sentinel"), *second])
    assert [(row.role, row.first) for row in found] == [("redis", 10.0), ("redis, sentinel", 20.0)]


def test_the_table_has_a_row_a_process() -> None:
    assert table([]) == ""
    assert "| redis | 10.0 | 10.0 | 10.5 | +0.5 |" in table([Growth("redis", 10.0, 10.0, 10.49, 0.51)]).splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_a_process_is_watched() -> None:
    seen: list[Record] = []
    with MemorySampler(seen, lambda: {"me": os.getpid(), "ended": 0}, every_s=0.01):
        wait_until(lambda: len(seen) >= 3, "three samples")
    kb = resident_kb(os.getpid())
    assert kb is not None
    assert all(isinstance(one, Memory) and one.role == "me" and kb / 2 < one.kb < kb * 2 for one in seen)
