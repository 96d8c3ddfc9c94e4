"""A symbol's past over HTTP, and the lines of the board."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from tickfence.analytics.history_row import FIELDS, HistoryRow
from tickfence.instrument import is_instrument
from tickfence.readers.columns import csv_of
from tickfence.readers.history import MAX_ROWS, fields_named, next_since, read_history
from tickfence.readers.when import MAX_STEP_MS, SPANS, parse_range, written_span
from tickfence.web.api import reader_of
from tickfence.web.examples import AT
from tickfence.web.openapi import answers
from tickfence.web.parameters import MAX_SYMBOLS, Format, Since, Symbol, Until, several
from tickfence.web.problems import known_parameters_only
from tickfence.web.representation import Page, json_answer, next_address, represented
from tickfence.web.sparklines import STEP_MS, Sparks

router = APIRouter(dependencies=[Depends(known_parameters_only)], tags=["history"])

USUAL_ROWS = 1_000

if TYPE_CHECKING:
    Columns = dict[str, list[Any]]
else:
    Columns = msgspec.defstruct(
        "Columns",
        [(field.name, list[field.type] | UnsetType, UNSET) for field in msgspec.structs.fields(HistoryRow)],
        namespace={
            "__doc__": "The chosen fields, one list each, all of the same length. What a report left out is null."
        },
        frozen=True,
    )


class HistoryRows(Struct, frozen=True, rename="camel"):
    """The rows of one symbol, oldest first, as columns: pandas, Polars and chart libraries take them as they are."""

    symbol: str
    since: Annotated[int, Meta(description="The beginning of the range, ms, inclusive.")]
    until: Annotated[int, Meta(description="Its end, ms, exclusive.")]
    step_ms: Annotated[int, Meta(description="Each row is the last one of its step; 0: every row.")]
    columns: Columns
    next: Annotated[
        str | None, Meta(description="The address of the rows after these; null: there are none in the range.")
    ]
    note: Annotated[str | None, Meta(description="Why older rows are missing, and where the clock was set back.")]


EXAMPLE = HistoryRows(
    "BTCUSDT",
    AT,
    AT + 60_000,
    10_000,
    Columns(time_ms=[AT + 9_250, AT + 19_500], mid_price=[67_123.45, None]),
    f"/v1/reports/BTCUSDT/history?since={AT}&until={AT + 60_000}&step=10s&limit=2&after={AT + 19_500}",
    "Redis has the history of BTCUSDT from 2023-11-14T22:13:29.250Z; recordings have nothing before that",
)


@router.get(
    "/reports/{symbol}/history",
    responses=answers(EXAMPLE, 404, csv=csv_of({"time_ms": [AT + 9_250], "mid_price": [67_123.45]})),
)
async def get_history(
    request: Request,
    symbol: Symbol,
    since: Since = "-15m",
    until: Until = "now",
    step: Annotated[
        str,
        Query(
            description=f"Only the last row of each step, {SPANS}, up to {written_span(MAX_STEP_MS)}. Default: every row.",
            examples=["10s"],
        ),
    ] = "",
    fields: Annotated[
        str,
        Query(
            description=f"Comma-separated; `time_ms` always comes first. Default: all, {', '.join(FIELDS)}.",
            examples=["mid_price,spread_bps"],
        ),
    ] = "",
    limit: Annotated[
        int, Query(ge=1, le=MAX_ROWS, description="Maximum number of rows.", examples=[1_000])
    ] = USUAL_ROWS,
    after: Annotated[
        int | None, Query(ge=0, le=10**14, description="The `time_ms` of the last row you got.", examples=[AT])
    ] = None,
    form: Format = None,
) -> Response:
    """What the reports of one symbol said, one row a second: the last hour from Redis, older rows from recordings.

    Rows come oldest first. If there are more than `limit`, `next` and the `Link` header have the address of the others.
    [The report](/docs/report.html) explains every field.
    """
    reader, names = reader_of(request), fields_named(fields)
    now_ms, _ = await reader.plane.read([])
    asked = parse_range(since, until, now_ms, step)
    rest = asked if after is None else asked._replace(since_ms=max(asked.since_ms, next_since(after, asked.step_ms)))
    if not is_instrument(symbol):
        await reader.require_known(symbol)
    found = await read_history(reader, symbol, *rest, names, limit=limit)
    if not found.rows:
        await reader.require_known(symbol)  # one that was removed may have been recorded
    columns, address = found.columns(names), None
    if found.more:
        last = found.rows[-1].time_ms
        address = next_address(request, since=asked.since_ms, until=asked.until_ms, after=last)

    def whole() -> HistoryRows:
        return HistoryRows(
            symbol, asked.since_ms, asked.until_ms, asked.step_ms, Columns(**columns), address, found.notes
        )

    return await represented(request, form, Page(columns, whole, f"{symbol}-history", address, found.notes))


@router.get("/sparklines", responses=answers(Sparks(AT, STEP_MS, {"BTCUSDT": [(AT - 30_250, 67_123.45)]})))
async def list_sparklines(
    request: Request,
    symbols: Annotated[
        str, Query(description=f"At most {MAX_SYMBOLS}, comma-separated.", examples=["BTCUSDT,ETHUSDT"])
    ],
) -> Response:
    """The price of several symbols over the last 15 minutes, one point in 30 s: the lines of the page's table.

    A symbol without a history has an empty line, whether it is known or not.
    """
    lines = await request.app.state.sparklines.get(several(symbols))
    return await json_answer(request, lines, same=(lines.lines, lines.unreadable))
