"""The resources: what a client can attach to a conversation without a tool, and the completion of names."""

from __future__ import annotations

import msgspec
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INTERNAL_ERROR,
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)

from tickfence.mcp.report_tools import listed
from tickfence.mcp.tool import symbol_name
from tickfence.readers.data_plane import Unavailable
from tickfence.readers.reader import NoReport, Reader, UnknownName
from tickfence.readers.reports import BadReport, with_freshness

REPORT = "report://{+symbol}"
SYMBOLS = "symbols://all"
_JSON = "application/json"
_MOST = 100
"""Values of one completion: as many as the protocol allows."""

_NAMES = {"symbol", "first", "second"}
"""Arguments of the template and of prompts that are a symbol."""


def add_resources(server: MCPServer, reader: Reader) -> None:
    """Add the resources to ``server``, and the completion of symbols in them and in prompts."""

    @server.resource(SYMBOLS, name="symbols", title="All symbols", mime_type=_JSON)
    async def symbols() -> str:
        """The names of all symbols, and which of them get no reports on purpose."""
        try:
            return msgspec.json.encode(listed(await reader.cluster(), reader)).decode()
        except Unavailable as error:
            raise ResourceError(str(error)) from error

    @server.resource(REPORT, name="report", title="The market report of a symbol", mime_type=_JSON)
    async def report(symbol: str) -> str:
        """The whole report of one symbol, as it is now. If `freshness.stale` is true, do not act on it."""
        try:
            found = await reader.report(symbol_name(symbol))
        except UnknownName as error:
            raise ResourceNotFoundError(str(error)) from error
        except (NoReport, BadReport, Unavailable) as error:
            raise ResourceError(str(error)) from error
        return with_freshness(found.report, found.fresh).decode()

    async def complete(
        _: PromptReference | ResourceTemplateReference, argument: CompletionArgument, __: CompletionContext | None
    ) -> Completion | None:
        if argument.name not in _NAMES:
            return None
        try:
            found = completed(argument.value, await reader.symbols())
        except Unavailable as error:
            raise MCPError(INTERNAL_ERROR, str(error)) from error
        return Completion(values=found[:_MOST], total=len(found), has_more=len(found) > _MOST)

    server.completion()(complete)  # type: ignore[no-untyped-call]


def completed(begun: str, names: tuple[str, ...]) -> list[str]:
    """Return the ``names`` that have ``begun`` in them, in any case: first those that begin with it.

    Example:
        >>> completed("btc", ("ETHBTC", "BTCUSDT", "okx:BTC-USDT", "SOLUSDT"))
        ['BTCUSDT', 'ETHBTC', 'okx:BTC-USDT']
    """
    wanted = begun.strip().casefold()
    fitting = [name for name in names if wanted in name.casefold()]
    return sorted(fitting, key=lambda name: not name.casefold().startswith(wanted))
