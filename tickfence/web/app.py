"""The ASGI application: everything that is served, behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from tickfence.mcp import server as mcp
from tickfence.monitoring import web_metrics
from tickfence.readers.reader import Reader
from tickfence.web import api, chosen, health, history, links, live, openapi, pairs, problems, trades
from tickfence.web.feed import Feed
from tickfence.web.files import Files
from tickfence.web.measured import Measured
from tickfence.web.middleware import EncodedPath, Guard, Head
from tickfence.web.profile import Profiles
from tickfence.web.representation import json_answer
from tickfence.web.sending import Room
from tickfence.web.sparklines import Sparklines
from tickfence.web.tokens import Tokens

STATIC = Path(__file__).parent / "static"
SWAGGER = Path(__file__).parent / "swagger"
_DESCRIPTION = """\
Market reports of tickfence, one a symbol, written four times a second. Read-only.

Times are milliseconds since 1970-01-01 UTC on the Redis server's clock. A refused request is answered with
`application/problem+json` (RFC 9457): what was given, and what is accepted.
"""
_EXPOSED = ("ETag", "Link", "Note", "Report-Age-Ms", "Report-Stale", "Retry-After")
_PREFLIGHT_S = 600  # how long a browser keeps the permission


def create_app(reader: Reader, feed: Feed, tokens: Tokens, *, hosts: Collection[str] | None) -> ASGIApp:
    """Return the application: page, HTTP API, streams and MCP server.

    Args:
        reader: Reads the data; the application closes it when it ends.
        feed: Reads for the streams; closed as well.
        tokens: Who may read.
        hosts: As `Guard` takes them.
    """
    settings = reader.settings
    tools = mcp.server(reader)
    static, swagger = Files(STATIC), Files(SWAGGER)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with tools.session_manager.run():
            yield
        await feed.close()
        await reader.close()

    app = FastAPI(
        title="tickfence",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=openapi.operation_id,
        redirect_slashes=False,
    )
    app.state.reader = reader
    app.state.feed = feed
    app.state.profiles = Profiles(reader)
    app.state.readiness = health.ReadinessCache(reader)
    app.state.sparklines = Sparklines(reader)
    app.state.pairs = pairs.PairCache(reader)
    app.state.room = Room()
    problems.install(app)
    openapi.install(app)
    app.include_router(chosen.router, prefix="/v1")  # before the address of a symbol, which it looks like
    for router in (api.router, pairs.router, live.router):
        app.include_router(router, prefix="/v1")
        app.include_router(router, include_in_schema=False)  # the addresses before there was a version
    for router in (history.router, trades.router, links.router):
        app.include_router(router, prefix="/v1")
    app.include_router(health.router)
    app.router.routes.append(mcp.http_route(tools))

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return await static.get_response("index.html", request.scope)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return await swagger.get_response("index.html", request.scope)

    @app.get("/openapi.json", include_in_schema=False)
    async def description(request: Request) -> Response:
        return await json_answer(request, app.openapi())

    app.mount("/static", static)
    app.mount("/docs", swagger)
    operations = openapi.operations(app)
    for operation in (*operations, web_metrics.OTHER):
        web_metrics.registry.begin(operation=operation)
    origins = settings.nt_web_cors_origins
    guard: ASGIApp = Guard(
        app, tokens=tokens, hosts=hosts, origins=origins, per_s=settings.nt_web_client_requests_per_s
    )
    if origins:
        guard = CORSMiddleware(
            guard,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["Authorization", "If-None-Match", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version"],
            expose_headers=_EXPOSED,
            max_age=_PREFLIGHT_S,
        )
    return EncodedPath(Head(Measured(guard, operations)))
