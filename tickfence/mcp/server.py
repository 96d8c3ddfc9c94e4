"""The MCP server and its tools (https://modelcontextprotocol.io), over stdio and over streamable HTTP."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import getdoc
from typing import Annotated, Any

import msgspec
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from msgspec import Meta
from pydantic import Field, ValidationError
from starlette.routing import Route

from tickfence.analytics.freshness import Idle
from tickfence.instrument import Instrument
from tickfence.mcp.summary import report_text, table_text
from tickfence.readers.data_plane import Unavailable
from tickfence.readers.quoting import quoted
from tickfence.readers.reader import NoReport, Reader, UnknownSymbol
from tickfence.readers.reports import BadReport, FreshReport, decode_report, with_freshness
from tickfence.readers.rows import Row, row
from tickfence.settings import Settings

MAX_COMPARED = 20
_MAX_BODY = 64 * 1024  # bytes
_LISTED = 3  # wrong arguments that an error names

_INSTRUCTIONS = """\
Near-real-time market reports, one a symbol, rewritten four times a second. Each says how fresh it is: do not act on a
stale one. Prices are in quote currency (USDT in BTCUSDT), quantities in base currency (BTC), times in ms since 1970 UTC.
To find a symbol: list_symbols; for one report in full: get_report; for up to 20 in brief: compare. Nothing can be
changed or traded here.
"""

Symbol = Annotated[
    str,
    Field(
        description="Like BTCUSDT, in upper or lower case; list_symbols returns all.",
        max_length=64,
        examples=["BTCUSDT"],
    ),
]


class Listed(msgspec.Struct, frozen=True):
    """All symbols, and those of them that get no reports on purpose."""

    symbols: list[str]
    idle: Annotated[
        dict[str, Idle],
        Meta(
            description="`paused`: an operator has paused it. `set aside`: two nodes got stuck while they worked on it."
        ),
    ] = {}


class Compared(msgspec.Struct, frozen=True):
    """Several symbols in brief."""

    now: int
    rows: list[Row]


def server(reader: Reader) -> MCPServer:
    """Return the server with its tools, which read through ``reader``."""

    async def get_report(symbol: Symbol) -> CallToolResult:
        """The market report of one symbol, now.

        Read `freshness` first: if `stale` is true, `reason` says why; do not act on anything else in the report then.
        The rest: last, mid and micro price; best bid and ask, spread in basis points; the 20 best levels of each side
        with their imbalance (-1 all asks, 1 all bids); trades a second and net aggressive volume of the last 30 s
        (above 0: buyers); walls, vacuums and the volume profile (POC, VAL, VAH) of the last 30 min; anomalies with their
        severity, each described in its `note`; health from 0 to 100. `ingestion.trading` tells if the exchange has halted or
        delisted the symbol. A field without enough data is left out, which does not mean 0: `flow.window_sec` and the
        profile's `window_sec` say how much time they cover.
        """
        found = await reader.report(_name(symbol))
        report = with_freshness(found.report, found.fresh)
        return _result(report_text(decode_report(found.symbol, report)), msgspec.json.decode(report))

    async def list_symbols() -> CallToolResult:
        """The names of all symbols. Those that get no reports on purpose are marked: paused, or set aside after trouble.

        If another one has no report at the moment, get_report says so.
        """
        cluster = await reader.cluster()
        symbols = cluster.symbols(reader.settings.symbols)
        idle = {str(symbol): cluster.idle[symbol] for symbol in symbols if symbol in cluster.idle}
        text = ", ".join(f"{symbol} ({idle[symbol]})" if symbol in idle else symbol for symbol in symbols)
        return _result(text, msgspec.to_builtins(Listed(list(symbols), idle)))

    async def compare(
        symbols: Annotated[
            list[Symbol],
            Field(
                min_length=1,
                max_length=MAX_COMPARED,
                description=f"A list of 1 to {MAX_COMPARED}.",
                examples=[["BTCUSDT", "ETHUSDT"]],
            ),
        ],
    ) -> CallToolResult:
        """From 1 to 20 symbols side by side, one row each, in the order you give.

        A row has price, change over 24 h in percent, spread in basis points, depth imbalance, net flow, trades a second,
        health, age of the data in ms, and whether the exchange trades it. A row whose `status` is neither `ok` nor `degraded` is stale or has no report: do not act on it. Unknown values are null.
        """
        names = list(dict.fromkeys(_name(symbol) for symbol in symbols))
        read = await reader.reports(names)
        rows = {one.symbol: row(one.symbol, one.head, one.fresh) for one in read.found}
        compared = Compared(
            read.now_ms, [rows.get(name) or Row(name, read.idle.get(Instrument(name), "down")) for name in names]
        )
        return _result(table_text(compared.rows), msgspec.to_builtins(compared))

    logging.getLogger("mcp").setLevel(logging.WARNING)  # at INFO the SDK logs a line for each request
    tools = [_tool(get_report, FreshReport), _tool(list_symbols, Listed), _tool(compare, Compared)]
    return MCPServer("tickfence", version="1", instructions=_INSTRUCTIONS, tools=tools, log_level="WARNING")


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
    return Route(route.path, route.endpoint, methods=["POST"])


async def serve_stdio(settings: Settings) -> None:
    """Serve one client on standard input and output until it closes them."""
    reader = Reader(settings)
    try:
        await server(reader).run_stdio_async()
    finally:
        await reader.close()


class _Tool(Tool):
    """A tool that refuses wrong arguments with one plain line."""

    async def run(self, arguments: dict[str, Any], context: Any, convert_result: bool = False) -> Any:
        """Call it.

        Raises:
            ToolError: It refuses; the client gets the text.
        """
        try:
            return await super().run(arguments, context, convert_result)
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            wrong = [
                f"{'.'.join(map(str, one['loc']))}={quoted(str(one['input']))}: {one['msg']}"
                for one in error.__cause__.errors()
            ]
            raise ToolError(f"bad arguments of {self.name}: {'; '.join(wrong[:_LISTED])}") from error


def _tool(function: Callable[..., Awaitable[CallToolResult]], answer: type[msgspec.Struct]) -> Tool:
    """Return a read-only tool whose structured answers have the schema of ``answer``."""

    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> CallToolResult:
        try:
            return await function(*args, **kwargs)
        except (UnknownSymbol, NoReport, Unavailable, BadReport) as error:
            raise ToolError(str(error)) from error  # the client gets the text of no other exception

    hints = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
    tool = _Tool.from_function(call, description=getdoc(function), annotations=hints)
    tool.fn_metadata.output_schema = _object_schema(answer)
    return tool


def _object_schema(answer: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema of ``answer`` with an object at its root, as MCP requires."""
    schema = msgspec.json.schema(answer)
    return {**schema["$defs"][answer.__name__], "$defs": schema["$defs"]}


def _name(symbol: str) -> str:
    return symbol.strip().upper()


def _result(text: str, data: dict[str, Any]) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=data)
