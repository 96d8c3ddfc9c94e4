"""The MCP server: reports for LLM agents (https://modelcontextprotocol.io). ``python -m tickfence.web.mcp`` speaks it on stdio.

The web server has the same tools at ``/mcp``, over streamable HTTP.
"""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import getdoc
from typing import Annotated, Any

import anyio
import msgspec
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field, ValidationError
from starlette.routing import Route

from tickfence import settings as environment
from tickfence.monitoring import logs
from tickfence.web.backend import Backend
from tickfence.web.data_plane import Unavailable
from tickfence.web.problems import Refusal, shown
from tickfence.web.reports import FreshReport, with_freshness
from tickfence.web.rows import BadReport, Row, row
from tickfence.web.summary import report_text, table_text

MOST_COMPARED = 20
_LARGEST_BODY = 64 * 1024
_NAMED = 3  # wrong arguments

_INSTRUCTIONS = """\
Near-real-time market reports, one a symbol, rewritten four times a second. Each says how fresh it is: one that is stale
must not be acted on. Prices are in quote currency (USDT of BTCUSDT), quantities in base currency (BTC), times in ms
since 1970 UTC. To find a symbol: list_symbols; for one in full: get_report; for up to 20 in brief: compare. Nothing can
be changed or traded here.
"""

Symbol = Annotated[
    str, Field(description="Like BTCUSDT, in any case; list_symbols names all.", max_length=64, examples=["BTCUSDT"])
]


class Listed(msgspec.Struct, frozen=True):
    """All symbols that are reported on."""

    symbols: list[str]


class Compared(msgspec.Struct, frozen=True):
    """Several symbols in brief."""

    now: int
    rows: list[Row]


def server(backend: Backend) -> MCPServer:
    """The server with its tools, which read from ``backend``."""

    async def get_report(symbol: Symbol) -> CallToolResult:
        """The market report of one symbol, now.

        Look at `freshness` first: where `stale` is true, `reason` says why, and nothing else here is to be acted on.
        Then: last, mid and micro price; best bid and ask, spread in basis points; the 20 best levels of each side with
        their imbalance (-1 all asks, 1 all bids); trades a second and net aggressive volume of the last 30 s (above 0:
        buyers); walls, vacuums and the volume profile (POC, VAL, VAH) of the last 30 min; anomalies (spoofing, iceberg,
        flash crash risk) with their severity; health from 0 to 100. A field that lacks data is left out, which is not 0.
        """
        found = await backend.report(_name(symbol))
        text = with_freshness(found.report, found.fresh)
        try:
            report = msgspec.json.decode(text, type=FreshReport)
        except msgspec.DecodeError as error:
            raise BadReport(f"report:{found.symbol} holds no report: {error}") from error
        return _result(report_text(report), msgspec.json.decode(text))

    async def list_symbols() -> CallToolResult:
        """The names of all symbols that are reported on. One may have no report at the moment: get_report says so."""
        symbols = await backend.symbols()
        return _result(", ".join(symbols), {"symbols": list(symbols)})

    async def compare(
        symbols: Annotated[
            list[Symbol],
            Field(
                min_length=1,
                max_length=MOST_COMPARED,
                description=f"A list of 1 to {MOST_COMPARED}.",
                examples=[["BTCUSDT", "ETHUSDT"]],
            ),
        ],
    ) -> CallToolResult:
        """From 1 to 20 symbols side by side, one row each, in the order asked for: price, change over 24 h in percent,
        spread in basis points, depth imbalance, net flow, trades a second, health, age of the data in ms.

        A row whose `status` is `down` is stale or without a report: do not act on it. What is not known is null.
        """
        names = list(dict.fromkeys(_name(symbol) for symbol in symbols))
        read = await backend.reports(names)
        rows = {one.symbol: row(one.symbol, one.head, one.fresh) for one in read.found}
        compared = Compared(read.now_ms, [rows.get(name, Row(name)) for name in names])
        return _result(table_text(compared.rows), msgspec.to_builtins(compared))

    logging.getLogger("mcp").setLevel(logging.WARNING)  # below, the SDK has a line for each request
    tools = [_tool(get_report, FreshReport), _tool(list_symbols, Listed), _tool(compare, Compared)]
    return MCPServer("tickfence", version="1", instructions=_INSTRUCTIONS, tools=tools, log_level="WARNING")


def http_route(tools: MCPServer) -> Route:
    """``tools`` over streamable HTTP at ``/mcp``: each request on its own, no session is kept, and no stream.

    Host, origin and token are the guard's business (`web.guard`). ``tools.session_manager`` must run meanwhile.
    """
    application = tools.streamable_http_app(
        stateless_http=True,
        json_response=True,
        max_request_body_size=_LARGEST_BODY,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    [route] = [route for route in application.routes if isinstance(route, Route)]
    return Route(route.path, route.endpoint, methods=["POST"])


async def main(settings: environment.Settings) -> None:
    """Serve one client on standard input and output, until it closes them or a signal comes."""
    # The SDK reads in a thread that a KeyboardInterrupt would wait for, until the client closes. Nothing is left undone.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    backend = Backend(settings)
    try:
        await server(backend).run_stdio_async()
    finally:
        await backend.close()


class _Tool(Tool):
    """A tool whose refusal of arguments is one plain line."""

    async def run(self, arguments: dict[str, Any], context: Any, convert_result: bool = False) -> Any:
        """Call it.

        Raises:
            ToolError: it refuses.
        """
        try:
            return await super().run(arguments, context, convert_result)
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            wrong = [
                f"{'.'.join(map(str, one['loc']))}={shown(str(one['input']))}: {one['msg']}"
                for one in error.__cause__.errors()
            ]
            raise ToolError(f"bad arguments of {self.name}: {'; '.join(wrong[:_NAMED])}") from error


def _tool(function: Callable[..., Awaitable[CallToolResult]], answer: type[msgspec.Struct]) -> Tool:
    """A tool that reads only, whose structured answers have the schema of ``answer``."""

    @wraps(function)
    async def anticipating(*args: Any, **kwargs: Any) -> CallToolResult:
        try:
            return await function(*args, **kwargs)
        except (Refusal, Unavailable, BadReport) as error:
            raise ToolError(str(error)) from error  # the client is shown this text, and of no other exception

    hints = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
    tool = _Tool.from_function(anticipating, description=getdoc(function), annotations=hints)
    tool.fn_metadata.output_schema = _object_schema(answer)
    return tool


def _object_schema(answer: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of ``answer`` with an object at its root, as MCP asks for."""
    schema = msgspec.json.schema(answer)
    return {**schema["$defs"][answer.__name__], "$defs": schema["$defs"]}


def _name(symbol: str) -> str:
    return symbol.strip().upper()


def _result(text: str, data: dict[str, Any]) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=data)


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m tickfence.web.mcp", description=__doc__).parse_args()
    loaded = environment.load()
    logs.configure(loaded.nt_log_level, role="mcp")
    anyio.run(main, loaded)
