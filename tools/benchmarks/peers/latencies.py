"""How long peers' tasks took from being sent to having written, told by files: a prefork pool has no metrics page."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TextIO

from tools.benchmarks.histogram import Buckets

FOLDER = "PEERS_LATENCIES"
"""Environment variable: the folder in which each process keeps a file, a line a report: milliseconds."""

BOUNDS_MS = (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, math.inf)
"""Buckets of tickfence's own metric."""


@cache
def _file() -> TextIO | None:
    folder = os.environ.get(FOLDER)
    return (Path(folder) / f"{os.getpid()}").open("a", buffering=1) if folder else None


def note(expires: str | datetime | None, expires_after_s: float) -> None:
    """A task has written; ``expires`` is what Celery put into its message, so it was sent ``expires_after_s`` before."""
    file = _file()
    if file is None or expires is None:
        return
    moment = expires if isinstance(expires, datetime) else datetime.fromisoformat(expires)
    file.write(f"{(time.time() - moment.timestamp() + expires_after_s) * 1000:.2f}\n")


def read(folder: Path) -> Iterator[float]:
    """What all processes have noted so far, ms."""
    for file in folder.iterdir():
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # the last one may be half written
                yield float(line)


def bucketed(values_ms: Sequence[float]) -> Buckets:
    """``values_ms`` counted as tickfence counts its own, so that quantiles are as exact, or inexact, for all."""
    return {bound: float(sum(value <= bound for value in values_ms)) for bound in BOUNDS_MS}
