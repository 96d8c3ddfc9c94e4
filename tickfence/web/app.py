"""The ASGI application: everything that is served, behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from tickfence.mcp import server as mcp
from tickfence.readers.reader import Reader
from tickfence.web import api, health, history, links, live, openapi, pairs, problems, trades
from tickfence.web.feed import Feed
from tickfence.web.middleware import EncodedPath, Guard, Head
from tickfence.web.profile import Profiles
from tickfence.web.sending import Room
from tickfence.web.sparklines import Sparklines

STATIC = Path(__file__).parent / "static"
SWAGGER = Path(__file__).parent / "swagger"
_DESCRIPTION = """\
Market reports of tickfence, one a symbol, written four times a second. Read-only.

Times are milliseconds since 1970-01-01 UTC on the Redis server's clock. A refused request is answered with
`application/problem+json` (RFC 9457): what was given, and what is accepted.
"""


def create_app(reader: Reader, feed: Feed, *, names: Collection[str]) -> ASGIApp:
    """Return the application: page, HTTP API, streams and MCP server.

    Args:
        reader: Reads the data; the application closes it when it ends.
        feed: Reads for the streams; closed as well.
        names: Names that the ``Host`` header may have when ``NT_WEB_ALLOWED_HOSTS`` names none; empty: any.
    """
    settings = reader.settings
    tools = mcp.server(reader)

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
    for router in (api.router, pairs.router, live.router):
        app.include_router(router, prefix="/v1")
        app.include_router(router, include_in_schema=False)  # the addresses before there was a version
    for router in (history.router, trades.router, links.router):
        app.include_router(router, prefix="/v1")
    app.include_router(health.router)
    app.router.routes.append(mcp.http_route(tools))

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(SWAGGER / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC))
    app.mount("/docs", StaticFiles(directory=SWAGGER))
    return EncodedPath(Guard(Head(app), token=settings.nt_web_token, hosts=settings.nt_web_allowed_hosts or names))
