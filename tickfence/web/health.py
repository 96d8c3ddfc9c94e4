"""Health checks: whether the process lives, and whether it has anything fresh to answer."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from tickfence.instrument import Instrument
from tickfence.readers.data_plane import Unavailable
from tickfence.readers.reader import Reader, Reports
from tickfence.web.openapi import open_answers

CACHED_S = 1.0
_LISTED = 10

router = APIRouter(tags=["health"])


class Liveness(Struct, frozen=True):
    """The process lives."""

    status: str = "ok"


class Readiness(Struct, frozen=True):
    """Whether there is a fresh report."""

    ready: bool
    reason: Annotated[str | None, Meta(description="Why it is not ready, in one sentence.")] = None
    symbols: Annotated[int, Meta(description="How many symbols there are.")] = 0
    fresh: Annotated[int, Meta(description="How many of them have a report that is not stale.")] = 0
    paused: Annotated[int, Meta(description="How many of them operators have paused.")] = 0
    not_fresh: Annotated[list[str], Meta(description=f"The first {_LISTED} of the others.")] = []


@router.get("/healthz", responses=open_answers(Liveness()))
async def get_health() -> Response:
    """The process lives and answers. Does not ask Redis."""
    return Response(msgspec.json.encode(Liveness()), media_type="application/json")


@router.get(
    "/readyz",
    responses=open_answers(
        Readiness(True, None, 3, 1, 1, ["ETHUSDT"]), s503=Readiness(False, "Redis is away: no answer within 2 s")
    ),
)
async def get_readiness(request: Request) -> Response:
    """200 when Redis answers and at least one report is fresh, else 503 with the reason. Checks at most once a second.

    A single symbol that has stopped, because it was delisted for example, is listed in `not_fresh`. The others remain
    available. Symbols that operators have paused do not count; when all are paused, it is ready.
    """
    found = await request.app.state.readiness.get()
    return Response(msgspec.json.encode(found), 200 if found.ready else 503, media_type="application/json")


class ReadinessCache:
    """Checks readiness at most once a second: a check reads every report, and clients need no token to ask.

    Args:
        reader: Reads the reports.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._checking = asyncio.Lock()
        self._found, self._until = Readiness(False, None), 0.0

    async def get(self) -> Readiness:
        """Return what the last check found."""
        async with self._checking:
            if time.monotonic() >= self._until:
                self._found = await _readiness(self._reader)
                self._until = time.monotonic() + CACHED_S
        return self._found


async def _readiness(reader: Reader) -> Readiness:
    try:
        reports = await reader.all_reports()
    except Unavailable as error:
        return Readiness(False, str(error))
    fresh = {one.symbol for one in reports.found if not one.fresh.stale}
    paused = {symbol for symbol in reports.asked if reports.idle.get(Instrument(symbol)) == "paused"}
    others = [symbol for symbol in reports.asked if symbol not in fresh | paused]
    reason = None
    if not fresh and (others or not paused):
        reason = f"none of {len(others)} symbols has a fresh report; {_first_reason(reports)}"
    return Readiness(reason is None, reason, len(reports.asked), len(fresh), len(paused), others[:_LISTED])


def _first_reason(reports: Reports) -> str:
    for one in reports.found:
        if one.fresh.status == "paused":
            continue
        return f"{one.symbol}: {one.fresh.reason}"
    for error in reports.bad.values():
        return str(error)
    return "there is no report at all"
