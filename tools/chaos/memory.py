"""How much memory every role takes, and whether it goes on growing."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tools.chaos.history import Began, Memory, Record, stacks
from tools.chaos.watch import Watch

EVERY_S = 5.0
LEAST_SAMPLES = 8
_RESIDENT = re.compile(r"^VmRSS:\s*(\d+) kB", re.MULTILINE)


def resident_kb(pid: int) -> int | None:
    """Resident memory of a process; None where it has ended, or where there is no ``/proc``."""
    try:
        found = _RESIDENT.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    return int(found[1]) if found else None


class MemoryWatch(Watch):
    """Appends a :class:`tools.chaos.history.Memory` for every process that ``pids`` (role -> process id, 0 if it does not
    run) names, every :data:`EVERY_S`."""

    def __init__(self, records: list[Record], pids: Callable[[], Mapping[str, int]], every_s: float = EVERY_S) -> None:
        super().__init__(records)
        self._pids, self._every_s = pids, every_s

    def watch(self) -> None:
        while True:
            for role, pid in self._pids().items():
                size = resident_kb(pid) if pid else None
                if size is not None:
                    self.records.append(Memory(time.time(), role, pid, size))
            if self.ended.wait(self._every_s):
                return


class Growth(NamedTuple):
    """One process' memory over a campaign, in MB: at first, and the medians of its second and its last quarter. The
    first quarter is left out: what is still warming up grows."""

    role: str
    first: float
    second_quarter: float
    last_quarter: float
    per_hour: float


def growth(history: Iterable[Record]) -> list[Growth]:
    """Of every role that one process played from beginning to end of its stack, and long enough to tell."""
    found = []
    for records in stacks(history):
        samples: dict[str, list[Memory]] = defaultdict(list)
        for record in records:
            if isinstance(record, Memory):
                samples[record.role].append(record)
        where = next((f", {r.topology}" for r in records if isinstance(r, Began) and r.topology != "single"), "")
        found += [
            _growth(role + where, of_role)
            for role, of_role in samples.items()
            if len(of_role) >= LEAST_SAMPLES and len({sample.pid for sample in of_role}) == 1
        ]
    return found


def _growth(role: str, samples: Sequence[Memory]) -> Growth:
    quarter = len(samples) // 4
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    before, after = (median(sample.kb for sample in some) / 1024 for some in (second, last))
    hours = (median(sample.time for sample in last) - median(sample.time for sample in second)) / 3600
    return Growth(role, samples[0].kb / 1024, before, after, (after - before) / hours)


def table(rows: Sequence[Growth]) -> str:
    """Markdown, one row a process; "" without any."""
    if not rows:
        return ""
    head = "| memory, MB | at first | 2nd quarter | last quarter | growth an hour |\n| :-- | --: | --: | --: | --: |\n"
    return head + "\n".join(
        f"| {row.role} | {row.first:.1f} | {row.second_quarter:.1f} | {row.last_quarter:.1f} | {row.per_hour:+.1f} |"
        for row in rows
    )
