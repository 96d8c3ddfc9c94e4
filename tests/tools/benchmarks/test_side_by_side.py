"""The results of the comparison with peers, and how processes are measured and killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.benchmarks.machine import busy_seconds, cpu_seconds, kill, tree
from tools.benchmarks.side_by_side import Failover, Window, sustained

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
child.wait()
"""


def window(symbols: int, on_time: float, forgiven: float = 1.0, name: str = "a") -> Window:
    return Window(name, symbols, on_time, forgiven, 4.0)


@pytest.mark.parametrize(
    ("windows", "most"),
    [
        ([], 0),
        ([window(30, 0.5)], 0),
        ([window(30, 1.0), window(60, 0.99), window(100, 0.98)], 60),
        ([window(30, 0.9), window(30, 0.995), window(30, 0.9)], 30),
        ([window(30, 0.9), window(60, 1.0)], 0),
        ([window(60, 0.2), window(30, 1.0)], 30),
        ([window(30, 1.0), window(60, 1.0, name="b")], 30),
    ],
)
def test_the_most_symbols_held(windows: list[Window], most: int) -> None:
    assert sustained(windows, "a", "on_time") == most


def test_a_drift_may_be_forgiven() -> None:
    windows = [window(30, 0.95), window(60, 0.92, 0.9)]
    assert (sustained(windows, "a", "on_time"), sustained(windows, "a", "forgiven")) == (0, 30)


def test_a_failover_shows_what_never_ended_as_a_bound() -> None:
    assert "0.25, > 30 s" in str(Failover("a", "beat", [0.25, 30.0]))


def test_a_window_without_a_report_has_neither_cost_nor_latency() -> None:
    assert str(window(30, 0.0)).split()[-6:-1] == ["-"] * 5


def awaited(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def gone(pid: int) -> bool:
    """Whether it has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_a_process_is_measured_and_killed_with_its_children() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT])
    try:
        assert awaited(lambda: len(tree(parent.pid)) == 2)
        _, child = tree(parent.pid)
        spent, busy = cpu_seconds(child), busy_seconds()
        assert awaited(lambda: cpu_seconds(parent.pid) > spent + 0.2), "the child's is the parent's too"
        assert busy_seconds() > busy + 0.1, "and the machine's"
    finally:
        kill(parent.pid)
    assert parent.wait() == -9
    assert awaited(lambda: gone(child))
    assert tree(parent.pid) == [parent.pid]
    assert cpu_seconds(parent.pid) == 0.0
