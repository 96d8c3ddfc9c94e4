"""The tools that answer from history: what changed, and how it was."""

from __future__ import annotations

import asyncio
from typing import Annotated

from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult
from pydantic import Field

from tickfence.analytics.history_row import FIELDS
from tickfence.mcp.changes import GAP_INTERVALS, changes
from tickfence.mcp.changes_answer import Present, SymbolChanges, happened, present
from tickfence.mcp.changes_text import changes_text, clock
from tickfence.mcp.history import MAX_ROWS, USUAL, FieldName, Table, fitting_step_ms, table, table_lines
from tickfence.mcp.tool import Refused, Symbol, read_only, result, schema_of, symbol_name
from tickfence.readers.history import read_history
from tickfence.readers.reader import NoReport, Reader
from tickfence.readers.reports import BadReport, decode_report, with_freshness
from tickfence.readers.when import parse_range
from tickfence.timeline import events

LONGEST_MIN = 60
"""Minutes that one answer compares at most."""

DEFAULT_MIN = 10
"""Minutes if nothing is said."""

_ROWS_READ = 10_000
_EVENTS_READ = 200

Time = Annotated[
    int | Annotated[str, Field(max_length=40)] | None,
    Field(description="ms since 1970, ISO 8601, or -10m.", examples=["-2h"]),
]


def history_tools(reader: Reader) -> list[Tool]:
    """Return the tools, which read through ``reader``."""

    async def get_changes(
        symbol: Symbol,
        minutes: Annotated[
            int, Field(description="How far back.", ge=1, le=LONGEST_MIN, examples=[DEFAULT_MIN])
        ] = DEFAULT_MIN,
    ) -> CallToolResult:
        """What has changed for one symbol in the last minutes, in plain language and in numbers.

        For price, spread, depth of each side, imbalance, trading and health: first, last, low, high, median, and whether
        it rose, fell, swung and came back, or stayed steady. When walls and anomalies came and went, with the worst
        severity, and those there are now; times of late or missing data; which node wrote the report, and why that
        changed. `covered_since`, `gaps` and `notes` say what is not known: do not take it for unchanged.
        """
        name = symbol_name(symbol)
        current, (now_ms, [reply]) = await asyncio.gather(
            _present(reader, name), reader.plane.read([events.read_command(reader.keys, limit=_EVENTS_READ)])
        )
        since_ms = now_ms - minutes * 60_000
        read = await read_history(reader, name, since_ms, now_ms, limit=_ROWS_READ)
        told = events.parse(reply)
        interval_ms = reader.settings.nt_history_interval_ms
        found = changes(read.rows, since_ms, now_ms, interval_ms)
        # Nothing older is missing if the range begins with the very first row.
        begins_late = found.covered_since is None or found.covered_since - since_ms > GAP_INTERVALS * interval_ms
        notes = [*([read.note] if read.note and begins_late else []), *read.breaks]
        if read.more:
            notes.append(f"rows after {clock(read.rows[-1].time_ms)} left out: there are more than {_ROWS_READ:,}")
        if len(told) == _EVENTS_READ and told[0].at_ms > since_ms:
            notes.append(f"events before {clock(told[0].at_ms)} left out: only the last {_EVENTS_READ} are read")
        mine = happened([event for event in told if since_ms <= event.at_ms], name)
        answer = SymbolChanges.of(found, name, since_ms, now_ms, mine, current, notes)
        return result(changes_text(answer), answer)

    async def get_history(
        symbol: Symbol,
        minutes: Annotated[
            int | None, Field(description="How far back; or give since and until.", ge=1, examples=[60])
        ] = None,
        since: Time = None,
        until: Time = None,
        step: Annotated[
            str | None,
            Field(
                description="One row for each, like 10s; without it, as short as fits.", max_length=20, examples=["1m"]
            ),
        ] = None,
        fields: Annotated[
            list[FieldName],
            Field(description="Columns.", min_length=1, max_length=len(FIELDS), examples=[["mid_price", "walls"]]),
        ] = list(USUAL),  # noqa: B006 - read only
    ) -> CallToolResult:
        """How one symbol's market was: rows over time, oldest first, at most 120.

        Each row is the last of its step; a step without rows is missing, and null is unknown. For the rows after those use
        `next_since`. Reaches back an hour or so, or further if market data is recorded; `note` says what is missing.
        """
        name = symbol_name(symbol)
        if minutes is not None and not (since is None and until is None):
            raise Refused("give either minutes, or since and until")
        now_ms, _ = await reader.plane.read([])
        begin = str(since) if since is not None else f"-{minutes or DEFAULT_MIN}m"
        asked = parse_range(begin, "now" if until is None else str(until), now_ms, step or "")
        if not asked.step_ms:
            asked = asked._replace(step_ms=fitting_step_ms(asked.since_ms, asked.until_ms))
        read = await read_history(reader, name, *asked, fields, limit=MAX_ROWS)
        if not read.rows:
            await reader.require_known(name)  # one that was removed may have a past
        answer = table(read, fields)
        return result(table_lines(answer), answer)

    return [read_only(get_changes, schema_of(SymbolChanges)), read_only(get_history, schema_of(Table))]


async def _present(reader: Reader, symbol: str) -> Present | None:
    """Return what the current report shows; ``None`` without one that can be read."""
    try:
        found = await reader.report(symbol)
        return present(decode_report(symbol, with_freshness(found.report, found.fresh)))
    except (NoReport, BadReport):
        return None
