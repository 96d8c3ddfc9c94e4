"""Columns as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

Columns = Mapping[str, Sequence[Any]]


def csv_of(columns: Columns) -> str:
    r"""Return columns as CSV (RFC 4180) with a head. A null is an empty cell, a list or an object is JSON.

    Example:
        >>> csv_of({"time_ms": [1, 2], "mid_price": [0.5, None]})
        'time_ms,mid_price\r\n1,0.5\r\n2,\r\n'
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([json.dumps(cell) if isinstance(cell, dict | list) else cell for cell in row])
    return text.getvalue()
