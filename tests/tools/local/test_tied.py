"""A tied process ends with its parent, also when the parent was killed or is gone already."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import wait_until
from tools.local import tied

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")

TIE = [sys.executable, "-I", tied.__file__, "KILL"]
SLEEP = ["sleep", "600"]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_tied_process_is_the_command_and_ends_with_its_killed_parent() -> None:
    # A parent whose own tie is to this test, and that starts a child tied to it.
    script = f"import os, subprocess, sys; print(subprocess.Popen({TIE + SLEEP}).pid, flush=True); sys.stdin.read()"
    parent = subprocess.Popen(
        [*TIE, sys.executable, "-c", script],
        env={**os.environ, "TIED_TO": str(os.getpid())},
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
        [*TIE, "echo", "started"], env={**os.environ, "TIED_TO": "1"}, capture_output=True, check=True
    )
    assert ended.stdout == b""
