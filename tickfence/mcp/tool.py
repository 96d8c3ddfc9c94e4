"""A tool that only reads, and that refuses wrong arguments with one plain line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import wraps
from inspect import getdoc
from typing import Annotated, Any

import msgspec
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import ConfigDict, Field, ValidationError, create_model

from tickfence.instrument import as_typed
from tickfence.readers.data_plane import Unavailable
from tickfence.readers.quoting import quoted
from tickfence.readers.reader import NoReport, UnknownName
from tickfence.readers.reports import BadReport
from tickfence.readers.when import BadRange

_LISTED = 3  # wrong arguments that an error names


class Refused(ValueError):
    """A tool does not answer this; the text says what was given, and what is accepted."""


Symbol = Annotated[
    str,
    Field(
        description="Like BTCUSDT or okx:BTC-USDT; list_symbols returns all.",
        max_length=64,
        examples=["BTCUSDT"],
    ),
]


def symbol_name(given: str) -> str:
    """Return a symbol as it is stored."""
    return as_typed(given.strip())


def read_only(function: Callable[..., Awaitable[CallToolResult]], schema: dict[str, Any]) -> Tool:
    """Return the tool that calls ``function``, whose docstring describes it and whose parameters are its arguments.

    Args:
        function: Returns an answer with structured content.
        schema: JSON Schema of that content, an object.
    """

    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> CallToolResult:
        try:
            return await function(*args, **kwargs)
        except (UnknownName, NoReport, Unavailable, BadReport, BadRange, Refused) as error:
            raise ToolError(str(error)) from error  # the client gets the text of no other exception

    hints = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
    tool = _Tool.from_function(call, description=getdoc(function), annotations=hints)
    # The SDK ignores arguments that it does not know, so a misspelt one would be answered as if it were not there.
    ignorant = tool.fn_metadata.arg_model
    strict = create_model(ignorant.__name__, __base__=(ignorant, _NoOthers))
    tool.fn_metadata.arg_model = strict
    tool.parameters = strict.model_json_schema(by_alias=True)
    tool.fn_metadata.output_schema = schema
    return tool


def schema_of(answer: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema of ``answer`` with an object at its root, as MCP requires."""
    others = msgspec.json.schema(answer)["$defs"]
    return {**others.pop(answer.__name__), "$defs": others}


def result(text: str, data: Any) -> CallToolResult:
    """Return an answer.

    Args:
        text: For people and for models that read no structured content.
        data: The structured content: a struct or a JSON object.
    """
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=msgspec.to_builtins(data))


class _NoOthers(ArgModelBase):
    model_config = ConfigDict(extra="forbid")


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
            wrong = list(self._wrong(error.__cause__.errors()))
            raise ToolError(f"bad arguments of {self.name}: {'; '.join(wrong[:_LISTED])}") from error

    def _wrong(self, errors: Sequence[Any]) -> Iterator[str]:
        unknown = [quoted(str(one["loc"][0])) for one in errors if one["type"] == "extra_forbidden"]
        if unknown:
            accepted = ", ".join(self.parameters["properties"]) or "none"
            more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
            yield f"there is no {', '.join(unknown[:_LISTED])}{more}; accepted: {accepted}"
        for one in errors:
            if one["type"] == "missing":
                yield f"{one['loc'][0]} is missing"
            elif one["type"] != "extra_forbidden":
                yield f"{'.'.join(map(str, one['loc']))}={quoted(str(one['input']))}: {one['msg']}"
