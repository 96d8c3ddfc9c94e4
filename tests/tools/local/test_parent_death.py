"""A process ends with its parent, also when the parent was killed or is gone already."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import wait_until
from tools.local.parent_death import ends_with_parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_it_becomes_the_command_and_ends_with_its_killed_parent() -> None:
    # A parent that ends with this test, and starts a child that ends with the parent.
    child_command = ends_with_parent("KILL", ["sleep", "600"])
    script = f"import os, subprocess, sys; print(subprocess.Popen({child_command}).pid, flush=True); sys.stdin.read()"
    parent = subprocess.Popen(
        ends_with_parent("KILL", [sys.executable, "-c", script]),
        env={**os.environ, "PARENT_PID": str(os.getpid())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout and parent.stdin
    child = int(parent.stdout.readline())
    wait_until(lambda: Path(f"/proc/{child}/cmdline").read_bytes() == b"sleep\x00600\x00", "the child is the command")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: gone(child), "the child is gone")
    parent.stdin.close()
    parent.stdout.close()


def test_a_process_whose_parent_is_gone_already_does_not_start() -> None:
    ended = subprocess.run(
        ends_with_parent("KILL", ["echo", "started"]),
        env={**os.environ, "PARENT_PID": "1"},
        capture_output=True,
        check=True,
    )
    assert ended.stdout == b""
