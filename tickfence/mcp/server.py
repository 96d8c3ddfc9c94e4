"""The MCP server with its tools, resources and prompts (https://modelcontextprotocol.io), over stdio and over streamable HTTP."""

from __future__ import annotations

import logging
from contextlib import suppress

from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tickfence.mcp.history_tools import history_tools
from tickfence.mcp.prompts import add_prompts
from tickfence.mcp.report_tools import report_tools
from tickfence.mcp.resources import add_resources
from tickfence.readers.reader import Reader
from tickfence.settings import Settings

_MAX_BODY = 64 * 1024  # bytes

_INSTRUCTIONS = """\
Near-real-time market reports, one a symbol, rewritten four times a second. Each says how fresh it is: do not act on a
stale one. A symbol is like BTCUSDT (Binance's) or okx:BTC-USDT (another exchange's). Prices are in quote currency (USDT in
BTCUSDT), quantities in base currency (BTC), times in ms since 1970 UTC. To find a symbol: list_symbols; for one report:
get_report; for up to 20 in brief, or one pair on several exchanges: compare; for the symbols with an anomaly: scan. For the
past: get_changes says what changed in the last minutes, get_history gives rows over time. report://BTCUSDT is a report as a
resource. Nothing can be changed or traded here.
"""


def server(reader: Reader) -> MCPServer:
    """Return the server with its tools, resources and prompts, which read through ``reader``."""
    logging.getLogger("mcp").setLevel(logging.WARNING)  # at INFO the SDK logs a line for each request
    tools = [*report_tools(reader), *history_tools(reader)]
    made = MCPServer("tickfence", version="1", instructions=_INSTRUCTIONS, tools=tools, log_level="WARNING")
    add_resources(made, reader)
    add_prompts(made, reader)
    return made


def http_route(tools: MCPServer) -> Route:
    """Return the route ``/mcp``: ``tools`` over streamable HTTP, without sessions and without streams.

    The web server's guard checks host, origin and token. ``tools.session_manager`` must run meanwhile.
    """
    application = tools.streamable_http_app(
        stateless_http=True,
        json_response=True,
        max_request_body_size=_MAX_BODY,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    [route] = [route for route in application.routes if isinstance(route, Route)]
    return Route(route.path, _Whole(route.endpoint), methods=["POST"])


class _Whole:
    """Ends quietly when a client leaves before it has sent its whole request. The SDK logs a traceback then."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole = False

        async def receive_whole() -> Message:
            nonlocal whole
            message = await receive()
            if message["type"] == "http.disconnect" and not whole:
                raise ClientDisconnect
            whole = not message.get("more_body", False)
            return message

        with suppress(ClientDisconnect):
            await self._app(scope, receive_whole, send)


async def serve_stdio(settings: Settings) -> None:
    """Serve one client on standard input and output until it closes them."""
    reader = Reader(settings)
    try:
        await server(reader).run_stdio_async()
    finally:
        await reader.close()
