"""Refused requests: JSON that says what was given and what is accepted, by RFC 9457 (Problem Details for HTTP APIs)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tickfence.monitoring import web_metrics
from tickfence.readers.data_plane import Unavailable
from tickfence.readers.quoting import quoted
from tickfence.readers.reader import NoReport, UnknownName, UnknownPair, UnknownSymbol
from tickfence.readers.reports import BadReport
from tickfence.readers.when import BadRange

MEDIA_TYPE = "application/problem+json"


class Kind(Enum):
    """Every kind of problem: its status and its title. The name in lower case is its code, which never changes."""

    TOKEN_NEEDED = (401, "Token needed")
    WRONG_ORIGIN = (403, "Wrong origin")
    NOT_FOUND = (404, "Not Found")
    UNKNOWN_SYMBOL = (404, "Unknown symbol")
    UNKNOWN_PAIR = (404, "Unknown pair")
    METHOD_NOT_ALLOWED = (405, "Method Not Allowed")
    URL_TOO_LONG = (414, "URL too long")
    WRONG_HOST = (421, "Wrong host")
    BAD_PARAMETER = (422, "Bad parameter")
    CLIENT_ANSWERS = (429, "Too many answers of one client wait")
    CLIENT_REQUESTS = (429, "Too many requests of one client")
    CLIENT_STREAMS = (429, "Too many streams of one client")
    INTERNAL_ERROR = (500, "Internal error")
    BAD_REPORT = (502, "Bad report")
    DATA_UNAVAILABLE = (503, "Data unavailable")
    NO_REPORT = (503, "No report")
    TOO_MANY_ANSWERS = (503, "Too many answers wait")
    TOO_MANY_STREAMS = (503, "Too many streams")

    @property
    def code(self) -> str:
        """What programs tell kinds apart by."""
        return self.name.lower()


for _kind in Kind:
    web_metrics.refused.labels(_kind.code)


class Problem(Struct, frozen=True):
    """Why a request was refused."""

    title: Annotated[str, Meta(description="The kind of problem; each kind always has the same title.")]
    status: int
    detail: Annotated[str, Meta(description="What was given, and what is accepted.")]
    code: Annotated[str, Meta(description="The kind of problem, for programs. It never changes, as `title` may.")]
    accepted: Annotated[list[str] | UnsetType, Meta(description="Some accepted values.")] = UNSET


def problem(kind: Kind, detail: str, accepted: list[str] | UnsetType = UNSET) -> Problem:
    """Return a problem of this kind."""
    status, title = kind.value
    return Problem(title, status, detail, kind.code, accepted)


class Refusal(Exception):
    """Answer the request with a problem.

    Args:
        kind: The kind of problem.
        detail: What was given, and what is accepted.
        accepted: Some accepted values.
        headers: Headers of the answer.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        accepted: list[str] | UnsetType = UNSET,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = problem(kind, detail, accepted)
        self.headers = headers

    def response(self) -> Response:
        """Return the answer, and count it."""
        web_metrics.refused.labels(self.problem.code).inc()
        return Response(msgspec.json.encode(self.problem), self.problem.status, self.headers, MEDIA_TYPE)


_UNKNOWN = {UnknownSymbol.kind: Kind.UNKNOWN_SYMBOL, UnknownPair.kind: Kind.UNKNOWN_PAIR}


async def known_parameters_only(request: Request) -> None:
    """Refuse unknown query parameters: ``?symbol=`` instead of ``?symbols=`` must not mean "all". A route's dependency.

    Raises:
        Refusal: 422, the route has no such parameter, or the parameter is given twice.
    """
    route: APIRoute = request.scope["route"]
    known = [field.alias for field in route.dependant.query_params]
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            accepted = f"there are {', '.join(known)}" if known else "this address takes none"
            raise Refusal(Kind.BAD_PARAMETER, f"there is no parameter {quoted(name)}; {accepted}")
        if times > 1:
            raise Refusal(Kind.BAD_PARAMETER, f"{name} is given {times} times; give it once")


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error with a problem, and never with a traceback."""

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> Response:
        return error.response()

    @app.exception_handler(UnknownName)
    async def unknown(_: Request, error: UnknownName) -> Response:
        return Refusal(_UNKNOWN[error.kind], str(error), accepted=error.accepted).response()

    @app.exception_handler(NoReport)
    async def no_report(_: Request, error: NoReport) -> Response:
        return Refusal(Kind.NO_REPORT, str(error), headers={"Retry-After": "1"}).response()

    @app.exception_handler(Unavailable)
    async def unavailable(_: Request, error: Unavailable) -> Response:
        return Refusal(Kind.DATA_UNAVAILABLE, str(error), headers={"Retry-After": "1"}).response()

    @app.exception_handler(BadReport)
    async def bad_report(_: Request, error: BadReport) -> Response:
        return Refusal(Kind.BAD_REPORT, str(error)).response()

    @app.exception_handler(BadRange)
    async def bad_range(_: Request, error: BadRange) -> Response:
        return Refusal(Kind.BAD_PARAMETER, str(error)).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        found = [f"{'.'.join(map(str, e['loc'][1:]))}={quoted(str(e['input']))}: {_plain(e)}" for e in error.errors()]
        return Refusal(Kind.BAD_PARAMETER, "; ".join(found)).response()

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        detail = f"{request.method} {quoted(request.url.path)}: /docs lists what there is"
        kind, headers = Kind.NOT_FOUND, error.headers
        if error.status_code == 405:
            kind = Kind.METHOD_NOT_ALLOWED
            allowed = dict(headers or {}).get("Allow", "GET")  # static files do not name it
            headers = {"Allow": "GET, HEAD" if allowed == "GET" else allowed}  # see `Head` in web/middleware.py
        return Refusal(kind, detail, headers=headers).response()

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> Response:
        return Refusal(Kind.INTERNAL_ERROR, "this is a fault of the server; see its log").response()


def _plain(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).replace("Input should", "must").replace("String should", "must")
