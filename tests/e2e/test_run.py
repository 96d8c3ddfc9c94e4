"""`make run`'s foreground with every role: first reports, a kill, a clean end."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.tools.local.foreground import Foreground, alive
from tools.local.roles import INGESTS


@pytest.mark.e2e
def test_everything_runs_and_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    foreground = Foreground(tmp_path / "state", {})
    try:
        shown = foreground.wait_for(r"eight reports are live, .* s after the start:\n((?:  node-00\d writes .*\n)+)")[1]
        assert sum(len(line.split(" writes ")[1].split()) for line in shown.splitlines()) == 8
        pids = foreground.pids()
        assert len(pids) == 12  # supervisord and eleven roles
        foreground.order("kill", "node-002")
        foreground.wait_for(r"node-002 \(process \d+\) was killed; start it again: make start ROLE=node-002")
    finally:
        os.killpg(foreground.process.pid, signal.SIGINT)
        status = foreground.process.wait(20)
    assert status == 0
    stopped = re.findall(r"stopped: (\S+)", (foreground.state / "logs" / "supervisord.log").read_text())
    assert set(stopped[-4:-2]) == set(INGESTS)
    assert stopped[-2:] == ["simulator", "redis"]
    assert [pid for pid in pids if alive(pid)] == []
