"""The stream of chosen symbols' whole reports, for programs: one connection instead of one for each symbol."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from tickfence.web.api import reader_of
from tickfence.web.feed import Feed
from tickfence.web.live import REPORTS, EventStream
from tickfence.web.openapi import streams
from tickfence.web.parameters import MAX_SYMBOLS, several
from tickfence.web.problems import known_parameters_only

router = APIRouter(tags=["streams"], dependencies=[Depends(known_parameters_only)])


@router.get("/stream/reports", status_code=200, response_class=EventStream, responses=streams(REPORTS, 404))
async def stream_reports(
    request: Request,
    symbols: Annotated[
        str, Query(description=f"At most {MAX_SYMBOLS}, comma-separated.", examples=["BTCUSDT,ETHUSDT"])
    ],
) -> Response:
    """The reports of several symbols, as in `GET /reports/{symbol}`, each whenever it was rewritten or became stale.

    Events: `report`; `absent` for a symbol without one; `outage` while Redis does not answer, and then all of them again.
    A slow client skips intermediate reports and gets the latest of each symbol.
    """
    feed: Feed = request.app.state.feed
    wanted = several(symbols)
    await reader_of(request).reports(wanted)  # refuses an unknown symbol
    return EventStream(feed, feed.reports(wanted))
