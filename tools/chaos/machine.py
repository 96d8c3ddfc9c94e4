"""What the machine did meanwhile: how much memory each role used, and when threads had to wait for a processor."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

from tools.chaos.history import Memory, Record, StackStarted, Stall, Write, stacks

EVERY_S = 5.0
MIN_SAMPLES = 8
_SLEEP_S = 0.01
_LATE_S = 0.03
_RESIDENT = re.compile(r"^VmRSS:\s*(\d+) kB", re.MULTILINE)


class Sampler:
    """A thread that runs :meth:`sample` within the ``with`` block and appends to ``records``."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self.sample, name=type(self).__name__, daemon=True)

    def sample(self) -> None:
        """Append samples until :attr:`ended` is set."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.ended.set()
        self._thread.join()


class StallSampler(Sampler):
    """Appends a :class:`tools.chaos.history.Stall` when it wakes late: then the roles waited for a processor, too."""

    def sample(self) -> None:
        """Sleep again and again, and compare with the clock."""
        before = time.monotonic()
        while not self.ended.wait(_SLEEP_S):
            now = time.monotonic()
            late = now - before - _SLEEP_S
            if late > _LATE_S:
                self.records.append(Stall(time.time(), late * 1000))
            before = now


def describe_stalls(records: Sequence[Record]) -> str:
    """How busy the machine was, in one sentence."""
    late = [record.late_ms for record in records if isinstance(record, Stall)]
    times = [record.time for record in records if isinstance(record, Write)]
    minutes = (times[-1] - times[0]) / 60 if times else 0.0
    return (
        f"The machine was late by more than {_LATE_S * 1000:.0f} ms {len(late)} times in {minutes:.1f} minutes, "
        f"by {max(late, default=0):.0f} ms at most."
    )


def resident_kb(pid: int) -> int | None:
    """Resident memory of a process in kB; ``None`` if it has ended, or without ``/proc``."""
    try:
        found = _RESIDENT.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    return int(found[1]) if found else None


class MemorySampler(Sampler):
    """Appends a :class:`tools.chaos.history.Memory` for every process, again and again.

    Args:
        records: where to append.
        pids: returns role -> process id, 0 if it does not run.
        every_s: seconds between two samples.
    """

    def __init__(self, records: list[Record], pids: Callable[[], Mapping[str, int]], every_s: float = EVERY_S) -> None:
        super().__init__(records)
        self._pids, self._every_s = pids, every_s

    def sample(self) -> None:
        """Read the memory of each process that runs."""
        while True:
            for role, pid in self._pids().items():
                size = resident_kb(pid) if pid else None
                if size is not None:
                    self.records.append(Memory(time.time(), role, pid, size))
            if self.ended.wait(self._every_s):
                return


class Growth(NamedTuple):
    """The memory of one process over a campaign, in MB.

    The growth is from the second quarter to the last one: in the first quarter the process still warms up.

    Attributes:
        role: whose process.
        first: first sample.
        second_quarter: median of the second quarter.
        last_quarter: median of the last quarter.
        per_hour: growth per hour.
    """

    role: str
    first: float
    second_quarter: float
    last_quarter: float
    per_hour: float


def growth(history: Iterable[Record]) -> list[Growth]:
    """The growth of every role that had one process throughout, and at least :data:`MIN_SAMPLES` samples."""
    found = []
    for records in stacks(history):
        samples: dict[str, list[Memory]] = defaultdict(list)
        for record in records:
            if isinstance(record, Memory):
                samples[record.role].append(record)
        where = next((f", {r.topology}" for r in records if isinstance(r, StackStarted) and r.topology != "single"), "")
        found += [
            _growth(role + where, of_role)
            for role, of_role in samples.items()
            if len(of_role) >= MIN_SAMPLES and len({sample.pid for sample in of_role}) == 1
        ]
    return found


def _growth(role: str, samples: Sequence[Memory]) -> Growth:
    quarter = len(samples) // 4
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    before, after = (median(sample.kb for sample in some) / 1024 for some in (second, last))
    hours = (median(sample.time for sample in last) - median(sample.time for sample in second)) / 3600
    return Growth(role, samples[0].kb / 1024, before, after, (after - before) / hours)


def table(rows: Sequence[Growth]) -> str:
    """Markdown, one row for each process; "" without any."""
    if not rows:
        return ""
    head = "| memory, MB | at first | 2nd quarter | last quarter | growth an hour |\n| :-- | --: | --: | --: | --: |\n"
    return head + "\n".join(
        f"| {row.role} | {row.first:.1f} | {row.second_quarter:.1f} | {row.last_quarter:.1f} | {row.per_hour:+.1f} |"
        for row in rows
    )
