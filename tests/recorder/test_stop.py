"""A recorder that is told to stop does, whatever it is doing then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.role_process import ROOT
from tools.local.embedded_redis import EmbeddedRedis

TOLD_WHILE_IT_HOLDS_A_LOCK = """
import os, runpy, signal, sys, threading

wait = threading.Condition.wait

def interrupted(condition, timeout=None):
    if sys._getframe(2).f_code.co_filename.endswith("recorder/service.py"):
        os.kill(os.getpid(), signal.SIGTERM)
    return wait(condition, timeout)

threading.Condition.wait = interrupted
runpy.run_module("tickfence.recorder", run_name="__main__", alter_sys=True)
"""


def test_it_ends_also_when_the_signal_comes_while_it_begins_to_wait(
    redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NT_")} | {
        "REDIS_URL": redis_server.url(),
        "NT_METRICS_PORT": "0",
        "NT_RECORDER_WAL": str(tmp_path / "log"),
        "NT_RECORDINGS": str(tmp_path / "recordings"),
    }
    command = [sys.executable, "-c", TOLD_WHILE_IT_HOLDS_A_LOCK]
    ended = subprocess.run(
        command, check=False, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, timeout=20
    )
    assert (ended.returncode, "recorder stopped" in ended.stderr) == (0, True), ended.stderr
