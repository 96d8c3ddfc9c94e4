"""The streams of changes, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack

from fastapi import APIRouter, Depends, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tickfence.web import examples
from tickfence.web.api import reader_of
from tickfence.web.clients import client_of
from tickfence.web.feed import ClientFull, Feed, Full
from tickfence.web.openapi import streams
from tickfence.web.parameters import Symbol
from tickfence.web.problems import Kind, Refusal, known_parameters_only

PING_S = 15
OUTAGE = {"outage": examples.OUTAGE}
_TABLE = {"state": examples.STATE, "rows": examples.ROWS, "nodes": examples.NODES, "event": examples.EVENT} | OUTAGE
REPORTS = {"report": examples.REPORT, "absent": examples.ABSENT} | OUTAGE
router = APIRouter(tags=["streams"], dependencies=[Depends(known_parameters_only)])


class EventStream(EventSourceResponse):
    """Server-sent events to one client, with pings. Refused when the maximum number of streams is open.

    Args:
        feed: Limits the number of streams.
        frames: What to send.
    """

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, frames: AsyncIterator[bytes]) -> None:
        super().__init__(frames, ping=PING_S, ping_message_factory=_ping)
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the client goes."""
        with ExitStack() as held:
            try:
                held.enter_context(self._feed.place(client_of(scope)))
            except Full as error:
                kind = Kind.CLIENT_STREAMS if isinstance(error, ClientFull) else Kind.TOO_MANY_STREAMS
                refusal = Refusal(kind, str(error), headers={"Retry-After": "5"})
                await refusal.response()(scope, receive, send)
                return
            await super().__call__(scope, receive, send)


@router.get("/stream", status_code=200, response_class=EventStream, responses=streams(_TABLE))
async def stream_table(request: Request) -> Response:
    """All symbols in brief, the nodes and the events, as they change.

    The first event is `state` with everything. After it come `rows` with the rows that changed (at most four times a
    second), `nodes` (twice a second) and `event`. A slow client skips intermediate updates and gets the latest state.
    While Redis does not answer: `outage`, about once a second, and then `state` again.
    """
    feed: Feed = request.app.state.feed
    return EventStream(feed, feed.table())


@router.get("/stream/{symbol}", status_code=200, response_class=EventStream, responses=streams(REPORTS, 404))
async def stream_report(request: Request, symbol: Symbol) -> Response:
    """The report of one symbol, as in `GET /reports/{symbol}`, whenever it was rewritten or became stale.

    Events: `report`; `absent` while there is none; `outage` while Redis does not answer, and then `report` again.
    """
    feed: Feed = request.app.state.feed
    await reader_of(request).reports([symbol])  # refuses an unknown symbol
    return EventStream(feed, feed.report(symbol))


def _ping() -> ServerSentEvent:
    return ServerSentEvent(comment="ping", sep="\n")
