"""Refusals as JSON that says what was given and what is accepted, by RFC 9457 (Problem Details for HTTP APIs)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tickfence.web.data_plane import Unavailable
from tickfence.web.rows import BadReport
from tickfence.web.sse import encode_json

MEDIA_TYPE = "application/problem+json"
_SHOWN = 40


class Problem(Struct, frozen=True):
    """Why a request was refused."""

    title: Annotated[str, Meta(description="The kind of problem, the same words each time.")]
    status: int
    detail: Annotated[str, Meta(description="What was given, what is accepted.")]
    accepted: Annotated[list[str] | UnsetType, Meta(description="Some of what is accepted.")] = UNSET


class Refusal(Exception):
    """Answer the request with this problem."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        accepted: list[str] | UnsetType = UNSET,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(title, status, detail, accepted)
        self.headers = headers

    def response(self) -> Response:
        """It as the answer."""
        return Response(encode_json(self.problem), self.problem.status, self.headers, MEDIA_TYPE)


def shown(given: str) -> str:
    """What was given, in quotes: as one line, and not all of it where it is long."""
    return ascii(given if len(given) <= _SHOWN else given[:_SHOWN] + "...")


def install(app: FastAPI) -> None:
    """Have ``app`` answer with problems only, and never with a traceback."""

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> Response:
        return error.response()

    @app.exception_handler(Unavailable)
    async def away(_: Request, error: Unavailable) -> Response:
        return Refusal(503, "Data unavailable", str(error), headers={"Retry-After": "1"}).response()

    @app.exception_handler(BadReport)
    async def rubbish(_: Request, error: BadReport) -> Response:
        return Refusal(502, "Bad report", str(error)).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        found = [f"{'.'.join(map(str, e['loc'][1:]))}={shown(str(e['input']))}: {_plain(e)}" for e in error.errors()]
        return Refusal(422, "Bad parameter", "; ".join(found)).response()

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        detail = f"{request.method} {shown(request.url.path)}: see /docs for what there is"
        headers = error.headers
        if error.status_code == 405:
            allowed = dict(headers or {}).get("Allow", "GET")  # files do not say
            headers = {"Allow": "GET, HEAD" if allowed == "GET" else allowed}  # see web.head
        return Refusal(error.status_code, str(error.detail), detail, headers=headers).response()

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> Response:
        return Refusal(500, "Internal error", "this is a fault of the server; its log says more").response()


def _plain(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).replace("Input should", "must").replace("String should", "must")
