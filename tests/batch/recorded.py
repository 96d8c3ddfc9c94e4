"""A recording of a few trades, and workers that make reports of it without the real calculation."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tasks.rebuilt import TRADES, Rebuilt
from tasks.recorded_entries import Recorded
from tickfence.instrument import Instrument
from tickfence.recordings.kinds import Kind
from tickfence.recordings.layout import HOUR_MS
from tickfence.recordings.schemas import SCHEMAS
from tickfence.recordings.store import Store

BEGIN = 1_764_669_600_000
"""2025-12-02T10:00:00Z."""


def record(folder: Path, symbols: list[str], hours: int) -> str:
    """Record a diff at the start and at the end of each hour; return where."""
    times = [BEGIN + hour * HOUR_MS + at for hour in range(hours) for at in (0, HOUR_MS - 1)]
    rows = [
        dict.fromkeys(SCHEMAS[Kind.DIFFS].names)
        | {"symbol": symbol, "time_ms": at, "first_update_id": n, "last_update_id": n}
        for symbol in symbols
        for n, at in enumerate(times)
    ]
    Store(str(folder)).write(pa.Table.from_pylist(rows, SCHEMAS[Kind.DIFFS]), Kind.DIFFS, "recorder-1.1", 1)
    return str(folder)


def reports_of(symbol: str, from_ms: int, to_ms: int, every_ms: int | None) -> Iterator[Rebuilt]:
    """What the stand-in makes of a partition: a report a minute, unless told otherwise. The first is not warm."""
    step = every_ms or 60_000
    for at_ms in range(-(-from_ms // step) * step, to_ms, step):
        reason = TRADES if at_ms == from_ms else ""
        yield Rebuilt(at_ms, f'{{"symbol":"{symbol}","updatedAt":{at_ms},"mid_price":42.0}}'.encode(), reason=reason)


def rebuild(recording: Recorded, symbol: str, from_ms: int, to_ms: int, every_ms: int | None) -> Iterator[Rebuilt]:
    """Stands for :func:`tasks.rebuild.rebuild`. ``STAND_IN_PAUSE_S`` is how long each report takes."""
    pause_s = float(os.environ.get("STAND_IN_PAUSE_S", "0"))
    assert len(recording.table(Kind.DIFFS, [Instrument(symbol)]))
    for one in reports_of(symbol, from_ms, to_ms, every_ms):
        if pause_s:
            time.sleep(pause_s)
        yield one
