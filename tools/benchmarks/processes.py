"""CPU time of processes and what they have forked, from Linux's /proc."""

from __future__ import annotations

import os
import signal
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """``pid`` and all its descendants, as far as they still run."""
    found = [pid]
    for one in found:  # grows as it goes
        try:
            text = Path(f"/proc/{one}/task/{one}/children").read_text()
        except FileNotFoundError:
            continue
        found += map(int, text.split())
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time spent by ``pid`` and its descendants that still run; 0 where there is none."""
    spent = 0.0
    for one in tree(pid):
        try:
            stat = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        spent += (int(stat[11]) + int(stat[12])) / _TICKS
    return spent


def busy_seconds() -> float:
    """CPU time that the whole machine has spent on anything, since it was started."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _iowait, interrupts, soft_interrupts, *_ = map(int, line.split()[1:])
    return (user + nice + system + interrupts + soft_interrupts) / _TICKS


def kill(pid: int) -> None:
    """End ``pid`` and its descendants at once, as the loss of their machine would."""
    for one in tree(pid):
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue
