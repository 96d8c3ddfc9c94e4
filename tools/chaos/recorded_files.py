"""Reads the trades and diffs of recorded files, as docs/recordings.md says, with nothing of the product's own reader.

A part of an open hour, ``hour-10.<writer>.<number>.parquet.open``, does not count if a file of the closed hour,
``hour-10.<writer>.<first>-<last>.parquet``, holds its number: the recorder was killed before it could delete it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.chaos.recordings_check import Stream, Values
from tools.chaos.witness import Id, What

_CLOSED = re.compile(r"(hour-\d\d\..+)\.(\d+)-(\d+)\.parquet")
_OPEN = re.compile(r"(hour-\d\d\..+)\.(\d+)\.parquet\.open")


def read(root: Path) -> dict[Stream, dict[Id, list[Values]]]:
    """Every recorded trade and diff: (symbol, kind) -> id -> the values of each row that has it.

    Args:
        root: a local folder of recordings.
    """
    from pyarrow import parquet  # noqa: PLC0415 - only here, and slow to load

    found: dict[Stream, dict[Id, list[Values]]] = defaultdict(lambda: defaultdict(list))
    for what in What:
        for folder in sorted(root.glob(f"day=*/venue=*/kind={what}")):
            for path in counted(folder):
                for row in parquet.ParquetFile(path).read().to_pylist():
                    id_, values = _trade(row) if what is What.TRADES else _diff(row)
                    found[row["symbol"], what][id_].append(values)
    return found


def counted(folder: Path) -> Iterator[Path]:
    """The files of a folder whose rows count, each of them once."""
    paths = sorted(folder.iterdir())
    closed = [match for path in paths if (match := _CLOSED.fullmatch(path.name))]
    for path in paths:
        part = _OPEN.fullmatch(path.name)
        is_held = part and any(hour[1] == part[1] and int(hour[2]) <= int(part[2]) <= int(hour[3]) for hour in closed)
        if _CLOSED.fullmatch(path.name) or (part and not is_held):
            yield path


def _trade(row: dict[str, Any]) -> tuple[Id, Values]:
    values = row["price"], row["quantity"], row["is_buy"], row["id_count"], row["received_ms"]
    return (row["time_ms"], row["trade_id"]), values


def _diff(row: dict[str, Any]) -> tuple[Id, Values]:
    bids = tuple(zip(row["bid_prices"], row["bid_quantities"], strict=True))
    asks = tuple(zip(row["ask_prices"], row["ask_quantities"], strict=True))
    return (row["time_ms"], row["last_update_id"]), (
        row["first_update_id"],
        bids,
        asks,
        row["received_ms"],
        row["trades"],
    )
