"""The HTTP API: reports, symbols, nodes, events, prices."""

from __future__ import annotations

from typing import Annotated, Any, cast

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from msgspec import Meta, Raw, Struct
from starlette.responses import Response

from tickfence.analytics.freshness import Idle
from tickfence.readers.columns import csv_of
from tickfence.readers.past_events import Span, read_events
from tickfence.readers.reader import Found, Reader
from tickfence.readers.reports import FreshReport, with_freshness
from tickfence.readers.when import parse_range
from tickfence.timeline.events import KEPT, place
from tickfence.web import examples
from tickfence.web.events import NEWEST, Event, event_answer, event_columns, fetch_events
from tickfence.web.nodes import nodes_of
from tickfence.web.openapi import answers
from tickfence.web.parameters import MAX_SYMBOLS, Format, Since, Symbol, Until, several
from tickfence.web.prices import MAX_MINUTES, Prices, fetch_prices
from tickfence.web.problems import known_parameters_only
from tickfence.web.profile import Profile
from tickfence.web.representation import Page, next_address, represented
from tickfence.web.sending import LargeAnswer

router = APIRouter(dependencies=[Depends(known_parameters_only)])


class Reports(Struct, frozen=True):
    """Several reports, each with its freshness."""

    now: Annotated[int, Meta(description="When they were read, ms on the Redis server's clock.")]
    reports: list[FreshReport]
    missing: Annotated[list[str], Meta(description="Known symbols that have no report now.")]
    unreadable: Annotated[
        list[str], Meta(description="Symbols whose report has another schema version or is not a report.")
    ]


class Assigned(Struct, frozen=True):
    """A symbol and the node it is assigned to."""

    symbol: str
    owner: str | None
    idle: Annotated[
        Idle | None,
        Meta(description="Why nobody is to work on it: an operator has `paused` it, or it made two nodes stuck."),
    ] = None


class Symbols(Struct, frozen=True):
    """All symbols."""

    generation: Annotated[
        int, Meta(description="The assignment's generation; it grows with each change. 0: nothing is assigned.")
    ]
    symbols: list[Assigned]


class Events(Struct, frozen=True, omit_defaults=True):
    """Events, the newest last."""

    now: int
    events: list[Event]
    next: Annotated[str | None, Meta(description="The address of later events of the range, if there are some.")] = None
    note: Annotated[str | None, Meta(description="Why older events are missing, in one sentence.")] = None


def reader_of(request: Request) -> Reader:
    """Return the application's reader."""
    reader: Reader = request.app.state.reader
    return reader


@router.get(
    "/reports/{symbol}",
    responses=answers(examples.REPORT, 404, 502, headers=("Report-Stale", "Report-Age-Ms")),
    tags=["reports"],
)
async def get_report(request: Request, symbol: Symbol) -> Response:
    """The report of one symbol, as its node wrote it, with `freshness` added.

    `data_age_ms` and `ingestion.status` date from when it was written; `freshness` and the headers `Report-Stale`
    (`true` or `false`) and `Report-Age-Ms` from now. docs/report.md explains every field.
    """
    found = await reader_of(request).report(symbol)
    headers = {"Report-Age-Ms": str(found.fresh.report_age_ms), **_stale([found])}
    return _json(Raw(with_freshness(found.report, found.fresh)), headers)


@router.get(
    "/reports",
    responses=answers(Reports(examples.AT, [examples.REPORT], ["ETHUSDT"], []), 404, headers=("Report-Stale",)),
    tags=["reports"],
)
async def get_reports(
    request: Request,
    symbols: Annotated[
        str | None,
        Query(description=f"At most {MAX_SYMBOLS}, comma-separated. Default: all.", examples=["BTCUSDT,ETHUSDT"]),
    ] = None,
) -> Response:
    """The reports of several symbols, or of all. The header `Report-Stale` is `true` when one of them is stale."""
    reader = reader_of(request)
    read = await reader.all_reports() if symbols is None else await reader.reports(several(symbols))
    reports = [Raw(with_freshness(one.report, one.fresh)) for one in read.found]
    answer = Reports(read.now_ms, cast(list[FreshReport], reports), read.missing, list(read.bad))
    return LargeAnswer(msgspec.json.encode(answer), request.app.state.room, _stale(read.found))


@router.get("/symbols", responses=answers(Symbols(examples.AT, [Assigned("BTCUSDT", "node-002")])), tags=["reports"])
async def get_symbols(request: Request) -> Response:
    """All symbols, and the node that each is assigned to."""
    reader = reader_of(request)
    cluster = await reader.cluster()
    rows = [
        Assigned(symbol, cluster.node_of(symbol), cluster.idle.get(symbol))
        for symbol in cluster.symbols(reader.settings.symbols)
    ]
    return _json(Symbols(cluster.assignment.generation, rows))


@router.get("/prices/{symbol}", responses=answers(Prices("BTCUSDT", [(examples.AT, 67_123.45)]), 404), tags=["reports"])
async def get_prices(
    request: Request,
    symbol: Symbol,
    minutes: Annotated[int, Query(ge=1, le=MAX_MINUTES, description="How far back.", examples=[15])] = 15,
) -> Response:
    """The price line of one symbol: the last trade of each second that had one."""
    reader = reader_of(request)
    await reader.require_known(symbol)
    return _json(await fetch_prices(reader, symbol, minutes))


@router.get(
    "/profiles/{symbol}",
    responses=answers(Profile("BTCUSDT", 1_800, 412, 0.05, [(67_123.4, 1.25), (67_123.45, 0.5)]), 404),
    tags=["reports"],
)
async def get_profile(request: Request, symbol: Symbol) -> Response:
    """The volume profile of one symbol as a histogram, at most five seconds old."""
    await reader_of(request).require_known(symbol)
    return _json(await request.app.state.profiles.get(symbol))


@router.get("/nodes", responses=answers(examples.NODES), tags=["cluster"])
async def get_nodes(request: Request) -> Response:
    """The nodes, and the beat that leads. A dead node stays for some time, with `alive` false."""
    return _json(nodes_of(await reader_of(request).cluster(), request.app.state.feed.rates()))


@router.get(
    "/events",
    responses=answers(Events(examples.AT, [examples.EVENT]), csv=csv_of(event_columns([examples.EVENT]))),
    tags=["cluster"],
)
async def get_events(
    request: Request,
    after: Annotated[
        str,
        Query(
            pattern=r"^([0-9]{1,19}(-[0-9]{1,19})?)?$",
            description="An event's id: only later events are returned.",
            examples=["1700000000000-0"],
        ),
    ] = "",
    limit: Annotated[int, Query(ge=1, le=KEPT, description="Maximum number of events.", examples=[20])] = NEWEST,
    since: Since = "",
    until: Until = "",
    form: Format = None,
) -> Response:
    """Moves with their reason, nodes that joined and left, conflicts, changes of the lead.

    Without `after`, `since` and `until` you get the newest events of about 1000 that Redis keeps. With one of them you get
    the oldest ones of that range, from recordings too: pass the last id you got as `after` to read on.
    """
    reader = reader_of(request)
    address = None
    if after or since or until:
        now_ms, _ = await reader.plane.read([])
        asked = parse_range(since or "0", until or "now", now_ms)
        later = (place(after)[0], place(after)[1] + 1) if after else (0, 0)
        found = await read_events(reader, Span(max((asked.since_ms, 0), later), (asked.until_ms, 0)), limit)
        listed = [event_answer(event) for event in found.events]
        if found.more:
            address = next_address(request, since=asked.since_ms, until=asked.until_ms, after=listed[-1].id)
        note = found.note
    else:
        now_ms, listed = await fetch_events(reader, "", limit)
        note = None
    page = Page(event_columns(listed), lambda: Events(now_ms, listed, address, note), "events", address, note)
    return await represented(request, form, page)


def _stale(found: list[Found]) -> dict[str, str]:
    return {"Report-Stale": str(any(one.fresh.stale for one in found)).lower()}


def _json(data: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(data), headers=headers, media_type="application/json")
