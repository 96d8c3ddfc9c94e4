"""The HTTP API: reports, symbols, nodes, events, prices."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace
from starlette.responses import Response

from tickfence.timeline.events import KEPT
from tickfence.web import examples
from tickfence.web.backend import Backend, Found
from tickfence.web.board import Nodes
from tickfence.web.directory import known_symbols
from tickfence.web.events import NEWEST, Event, read_events
from tickfence.web.openapi import answers
from tickfence.web.parameters import known_only
from tickfence.web.prices import LONGEST_MINUTES, Prices, read_prices
from tickfence.web.problems import Refusal
from tickfence.web.profile import Profile
from tickfence.web.reports import FreshReport, with_freshness
from tickfence.web.sending import LargeAnswer
from tickfence.web.sse import encode_json

MOST_SYMBOLS = 100
"""In one ``?symbols=``."""

router = APIRouter(dependencies=[Depends(known_only)])

Symbol = Annotated[str, Path(description="Like BTCUSDT.", examples=["BTCUSDT"])]


class Reports(Struct, frozen=True):
    """Several reports, each with its freshness."""

    now: Annotated[int, Meta(description="When they were read, ms on the Redis server's clock.")]
    reports: list[FreshReport]
    missing: Annotated[list[str], Meta(description="Known symbols that have no report now.")]
    unreadable: Annotated[list[str], Meta(description="Symbols whose report is of another schema version, or none.")]


class Assigned(Struct, frozen=True):
    """A symbol, and the node it is assigned to."""

    symbol: str
    owner: str | None


class Symbols(Struct, frozen=True):
    """All symbols."""

    generation: Annotated[int, Meta(description="Of the assignment: it grows with each change. 0: there is none.")]
    symbols: list[Assigned]


class Events(Struct, frozen=True):
    """What happened, newest last."""

    now: int
    events: list[Event]


def backend(request: Request) -> Backend:
    """The application's."""
    found: Backend = request.app.state.backend
    return found


@router.get(
    "/reports/{symbol}",
    responses=answers(examples.REPORT, 404, 502, headers=("Report-Stale", "Report-Age-Ms")),
    tags=["reports"],
)
async def get_report(request: Request, symbol: Symbol) -> Response:
    """The report of one symbol, as its node wrote it, with `freshness` added.

    `data_age_ms` and `ingestion.status` are from when it was written; `freshness`, and the headers `Report-Stale`
    (`true` or `false`) and `Report-Age-Ms`, are from now. Every field is explained in docs/report.md.
    """
    found = await backend(request).report(symbol)
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
        Query(description=f"At most {MOST_SYMBOLS}, comma-separated; without it: all.", examples=["BTCUSDT,ETHUSDT"]),
    ] = None,
) -> Response:
    """The reports of several symbols, or of all. The header `Report-Stale` is `true` when one of them is stale."""
    source = backend(request)
    read = await source.all_reports() if symbols is None else await source.reports(_several(symbols))
    reports = [Raw(with_freshness(one.report, one.fresh)) for one in read.found]
    answer = Reports(read.now_ms, cast(list[FreshReport], reports), read.missing, list(read.bad))
    return LargeAnswer(encode_json(answer), request.app.state.room, _stale(read.found))


@router.get("/symbols", responses=answers(Symbols(examples.AT, [Assigned("BTCUSDT", "node-002")])), tags=["reports"])
async def get_symbols(request: Request) -> Response:
    """All symbols, and the node each is assigned to."""
    source = backend(request)
    assignment = (await source.directory()).assignment
    owners = assignment.owners
    names = known_symbols(assignment, source.settings.symbols)
    rows = [Assigned(name, owners[name].node if name in owners else None) for name in names]
    return _json(Symbols(assignment.generation, rows))


@router.get("/prices/{symbol}", responses=answers(Prices("BTCUSDT", [(examples.AT, 67_123.45)]), 404), tags=["reports"])
async def get_prices(
    request: Request,
    symbol: Symbol,
    minutes: Annotated[int, Query(ge=1, le=LONGEST_MINUTES, description="How far back.", examples=[15])] = 15,
) -> Response:
    """The price line of one symbol: the last trade of each second that had one."""
    source = backend(request)
    source.require_known([symbol], await source.symbols())
    return _json(await read_prices(source.plane, symbol, minutes))


@router.get(
    "/profiles/{symbol}",
    responses=answers(Profile("BTCUSDT", 1_800, 412, 0.05, [(67_123.4, 1.25), (67_123.45, 0.5)]), 404),
    tags=["reports"],
)
async def get_profile(request: Request, symbol: Symbol) -> Response:
    """The volume profile of one symbol as a histogram, at most five seconds old."""
    source = backend(request)
    source.require_known([symbol], await source.symbols())
    return _json(await source.profiles.get(symbol))


@router.get("/nodes", responses=answers(examples.NODES), tags=["cluster"])
async def get_nodes(request: Request) -> Response:
    """The nodes, and the beat that leads. A node that died stays for some time, with `alive` false."""
    source = backend(request)
    found = await source.directory()
    nodes = [replace(node, reports_per_sec=source.feed.rate(node.node)) for node in found.nodes]
    return _json(Nodes(found.now_ms, nodes, found.leader))


@router.get("/events", responses=answers(Events(examples.AT, [examples.EVENT])), tags=["cluster"])
async def get_events(
    request: Request,
    after: Annotated[
        str,
        Query(
            pattern=r"^([0-9]{1,19}(-[0-9]{1,19})?)?$",
            description="An event's id: only what came after it.",
            examples=["1700000000000-0"],
        ),
    ] = "",
    limit: Annotated[int, Query(ge=1, le=KEPT, description="At most so many.", examples=[20])] = NEWEST,
) -> Response:
    """Moves with their reason, nodes that came and went, conflicts, changes of the lead. Some thousand are kept.

    Without `after` the newest; with it the oldest of those that came after, so that the last id leads on to the next.
    """
    now_ms, events = await read_events(backend(request).plane, after, limit)
    return LargeAnswer(encode_json(Events(now_ms, events)), request.app.state.room)


def _several(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not 0 < len(names) <= MOST_SYMBOLS:
        detail = f"symbols names {len(names)} symbols; from 1 to {MOST_SYMBOLS} are taken, comma-separated"
        raise Refusal(422, "Bad parameter", detail)
    return names


def _stale(found: list[Found]) -> dict[str, str]:
    return {"Report-Stale": str(any(one.fresh.stale for one in found)).lower()}


def _json(data: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(encode_json(data), headers=headers, media_type="application/json")
