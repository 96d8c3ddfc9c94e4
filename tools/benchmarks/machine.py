"""The machine of a measurement: what it is, and how much CPU time it and its processes spend (from Linux's /proc)."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import signal
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tools.local.embedded_redis import server_command

PACKAGES = ("celery", "kombu", "redis", "hiredis", "numpy", "msgspec", "aiohttp")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def facts() -> dict[str, Any]:
    """Processor, cores, system, and the versions of Python, Redis and the main packages."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "redis-server": _redis(),
        **{name: version(name) for name in PACKAGES},
    }


def described() -> str:
    """The facts in a line."""
    return ", ".join(f"{name} {value}" for name, value in facts().items())


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "unknown"


def _redis() -> str:
    program = server_command(0, Path())[0]
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\S+)", shown)
    return found[1] if found else shown.strip()


def tree(pid: int) -> list[int]:
    """``pid`` and all its descendants that run."""
    found = [pid]
    for one in found:  # grows as it goes
        try:
            text = Path(f"/proc/{one}/task/{one}/children").read_text()
        except FileNotFoundError:
            continue
        found += map(int, text.split())
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of ``pid`` and its descendants that run; 0 without any."""
    spent = 0.0
    for one in tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            spent += process_cpu_seconds(one)
    return spent


def process_cpu_seconds(pid: int) -> float:
    """CPU time of ``pid`` alone, in user and system mode.

    Raises:
        OSError: there is no such process.
    """
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) / TICKS_PER_S


def busy_seconds() -> float:
    """CPU time that the whole machine has spent since it was started."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _iowait, interrupts, soft_interrupts, *_ = map(int, line.split()[1:])
    return (user + nice + system + interrupts + soft_interrupts) / TICKS_PER_S


def kill(pid: int) -> None:
    """SIGKILL ``pid`` and its descendants, as the loss of their machine would end them."""
    for one in tree(pid):
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue
