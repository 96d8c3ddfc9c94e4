"""The answer of `get_history`: a table of one symbol's past. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct

from tickfence.analytics.history_row import FIELDS
from tickfence.mcp.amount import amount
from tickfence.readers.history import History, next_since
from tickfence.readers.when import Range, iso, written_span

MAX_ROWS = 120
"""Rows in one answer."""

USUAL: tuple[str, ...] = ("mid_price", "spread_bps", "bid_qty", "ask_qty", "imbalance", "net_flow", "health", "status")
"""The fields of an answer for which none are chosen."""

STEPS_S: tuple[int, ...] = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)
"""Of these the shortest is taken with which a range fits into one answer."""

if TYPE_CHECKING:
    FieldName = str
else:
    FieldName = Literal[tuple(name for name in FIELDS if name != "time_ms")]


class Table(Struct, frozen=True):
    """Rows of one symbol, oldest first."""

    symbol: str
    since: int
    until: int
    step_ms: Annotated[int, Meta(description="Each row is the last of a step of this length.")]
    fields: Annotated[list[str], Meta(description="What each column of `rows` is.")]
    rows: list[list[Any]]
    next_since: Annotated[int | None, Meta(description="Pass it as `since` for further rows; null if there are none.")]
    note: Annotated[str | None, Meta(description="What is missing, and why.")]


def fitting_step_ms(since_ms: int, until_ms: int) -> int:
    """Return the shortest step with which the range has at most `MAX_ROWS` rows, in whole days at the end.

    Example:
        >>> fitting_step_ms(0, 600_000), fitting_step_ms(0, 100 * 86_400_000)
        (10000, 86400000)
    """
    wanted = (until_ms - since_ms) / (MAX_ROWS - 1)  # steps are counted from 1970, so that one more may begin before it
    fitting = next((step * 1000 for step in STEPS_S if step * 1000 >= wanted), None)
    day = STEPS_S[-1] * 1000
    return fitting or -int(-wanted // day) * day


def table(found: History, fields: Sequence[str]) -> Table:
    """Return the answer.

    Args:
        found: What was read.
        fields: Those chosen; the time comes first in any case.
    """
    asked: Range = found.asked
    names = list(dict.fromkeys(("time_ms", *fields)))
    following = next_since(found.rows[-1].time_ms, asked.step_ms) if found.more else None
    rows = [[getattr(row, name) for name in names] for row in found.rows]
    return Table(found.symbol, asked.since_ms, asked.until_ms, asked.step_ms, names, rows, following, found.notes)


def table_lines(found: Table) -> str:
    """Return the answer as text."""
    span = written_span(found.step_ms)
    rows = amount(len(found.rows), "row") + (f", the last of each {span}" if found.rows else "")
    lines = [f"{found.symbol}, {iso(found.since)} to {iso(found.until)}: {rows}"]
    if found.rows:
        lines.append(" | ".join(("time", *found.fields[1:])))
    lines += [" | ".join((iso(at), *map(_cell, cells))) for at, *cells in found.rows]
    if found.next_since is not None:
        lines.append(f"further rows left out: ask for them with since={found.next_since}, or with a longer step")
    if found.note:
        lines.append(found.note)
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else f"{value:.10g}"
