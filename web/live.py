"""The streams of changes, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from fastapi import APIRouter, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from web.api import Symbol, backend
from web.feed import Full
from web.openapi import streams
from web.problems import Refusal

PING_S = 15
router = APIRouter(tags=["streams"])


class EventStream(EventSourceResponse):
    """Server-sent events to one client, with pings."""

    media_type = "text/event-stream"


@router.get("/stream", response_class=EventStream, responses=streams(503))
async def stream_table(request: Request) -> Response:
    """All symbols in brief, the nodes and what happens, as they change.

    First `state`, with all there is; then `rows` with those that changed, at most four times a second, `nodes` twice a
    second, `event`. A client that is slow gets the newest, and not what it missed. While Redis is away: `outage`, about
    once a second, and after it `state` again.
    """
    return _stream(backend(request).feed.table)


@router.get("/stream/{symbol}", response_class=EventStream, responses=streams(404, 503))
async def stream_report(request: Request, symbol: Symbol) -> Response:
    """The report of one symbol, as `GET /reports/{symbol}` has it, whenever it was rewritten or became stale.

    Events: `report`; `absent` while there is none; `outage` while Redis is away, and after it `report` again.
    """
    source = backend(request)
    await source.reports([symbol])  # refuses a symbol that is not known
    return _stream(lambda: source.feed.report(symbol))


def _stream(follow: Callable[[], AsyncIterator[bytes]]) -> Response:
    try:
        frames = follow()
    except Full as error:
        raise Refusal(503, "Too many streams", str(error), headers={"Retry-After": "5"}) from None
    return EventStream(frames, ping=PING_S, ping_message_factory=_ping)


def _ping() -> ServerSentEvent:
    return ServerSentEvent(comment="ping", sep="\n")
