"""Whether the process lives, and whether what it would answer is worth anything."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from tickfence.web.backend import Backend, Read
from tickfence.web.data_plane import Unavailable
from tickfence.web.openapi import open_answers
from tickfence.web.sse import encode_json

STANDS_S = 1.0
_NAMED = 10

router = APIRouter(tags=["health"])


class Liveness(Struct, frozen=True):
    """The process lives."""

    status: str = "ok"


class Readiness(Struct, frozen=True):
    """Whether there is anything fresh to be read."""

    ready: bool
    reason: Annotated[str | None, Meta(description="Why it is not ready, in one sentence.")] = None
    symbols: Annotated[int, Meta(description="How many there are.")] = 0
    fresh: Annotated[int, Meta(description="How many have a report that is not stale.")] = 0
    not_fresh: Annotated[list[str], Meta(description=f"The first {_NAMED} of the others.")] = []


@router.get("/healthz", responses=open_answers(Liveness()))
async def healthz() -> Response:
    """The process lives and answers. Asks nobody else."""
    return Response(encode_json(Liveness()), media_type="application/json")


@router.get(
    "/readyz",
    responses=open_answers(
        Readiness(True, None, 2, 1, ["ETHUSDT"]), s503=Readiness(False, "Redis is away: no answer within 2 s")
    ),
)
async def readyz(request: Request) -> Response:
    """200 when Redis answers and at least one report is fresh, else 503 with the reason. Looks at most once a second.

    One symbol that has stopped, delisted for instance, is named in `not_fresh` and does not make all others unavailable.
    """
    found = await request.app.state.readiness.found()
    return Response(encode_json(found), 200 if found.ready else 503, media_type="application/json")


class Look:
    """Looks whether all is ready, for however many ask.

    It reads every report, and whoever asks needs no token: so what was found stands for a second.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._asking = asyncio.Lock()
        self._found, self._until = Readiness(False, None), 0.0

    async def found(self) -> Readiness:
        """What the last look found."""
        async with self._asking:
            if time.monotonic() >= self._until:
                self._found = await _readiness(self._backend)
                self._until = time.monotonic() + STANDS_S
        return self._found


async def _readiness(backend: Backend) -> Readiness:
    try:
        read = await backend.all_reports()
    except Unavailable as error:
        return Readiness(False, str(error))
    fresh = {one.symbol for one in read.found if not one.fresh.stale}
    others = [symbol for symbol in read.asked if symbol not in fresh]
    reason = None
    if not fresh:
        reason = f"none of {len(read.asked)} symbols has a fresh report; {_why(read)}"
    return Readiness(bool(fresh), reason, len(read.asked), len(fresh), others[:_NAMED])


def _why(read: Read) -> str:
    """Of the first there is, where none is fresh."""
    for one in read.found:
        return f"{one.symbol}: {one.fresh.reason}"
    for error in read.bad.values():
        return str(error)
    return "there is no report at all"
