"""Latencies of the contestants' tasks, from sent to written, in files: a prefork pool has no metrics page."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TextIO

from tools.benchmarks.metrics import Buckets

FOLDER = "PEERS_LATENCIES"
"""Environment variable: the folder in which each process keeps a file, one line with milliseconds for each report."""

BOUNDS_MS = (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, math.inf)
"""Buckets of tickfence's metric."""


@cache
def _file() -> TextIO | None:
    folder = os.environ.get(FOLDER)
    return (Path(folder) / f"{os.getpid()}").open("a", buffering=1) if folder else None


def note(expires: str | datetime | None, expires_after_s: float) -> None:
    """Note that a task has written its report.

    Args:
        expires: from Celery's message.
        expires_after_s: so long before ``expires`` the task was sent.
    """
    file = _file()
    if file is None or expires is None:
        return
    moment = expires if isinstance(expires, datetime) else datetime.fromisoformat(expires)
    file.write(f"{(time.time() - moment.timestamp() + expires_after_s) * 1000:.2f}\n")


def read(folder: Path) -> Iterator[float]:
    """The latencies that all processes have noted so far, ms."""
    for file in folder.iterdir():
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # the last line may be incomplete
                yield float(line)


def bucketed(values_ms: Sequence[float]) -> Buckets:
    """Latencies in the buckets of tickfence's metric, so that the quantiles of all contestants are equally exact."""
    return {bound: float(sum(value <= bound for value in values_ms)) for bound in BOUNDS_MS}
