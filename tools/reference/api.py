"""docs/api.md: every operation of the HTTP API, from its OpenAPI description."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from tickfence.readers.reader import Reader
from tickfence.settings import Settings
from tickfence.web.app import create_app
from tickfence.web.feed import Feed
from tickfence.web.tokens import Tokens

PAGE = Path(__file__).parents[2] / "docs" / "api.md"

_HEAD = """\
# Operations of the API

[Page, HTTP API, MCP](web.md) explains how to use the API. A running web server has the same list at `/docs`, where you can try each operation, and as OpenAPI 3.1 at `/openapi.json`. `make reference` writes this page from `tickfence/web/`.
"""


def page() -> str:
    """The page's text."""
    described = openapi()
    sections = [
        section
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        for section in _section(f"{method.upper()} {path}", operation)
    ]
    return _HEAD + "\n" + "\n".join(sections)


def openapi() -> dict[str, Any]:
    """The API's description as a web server with the default settings serves it. Redis is not asked."""
    reader = Reader(Settings.from_environment({}))
    app = create_app(reader, Feed(reader), Tokens({}), hosts=None)
    described: dict[str, Any] = TestClient(app).get("/openapi.json").json()
    return described


def _section(name: str, operation: dict[str, Any]) -> Iterator[str]:
    text = operation.get("description", operation["summary"]).replace("(/docs/report.html)", "(report.md)")
    yield f"## {name}\n\n{text}\n"
    if operation.get("parameters"):
        yield "| parameter | in | type | default | what it is |\n| --- | --- | --- | --- | --- |"
        yield "".join(_parameter(one) for one in operation["parameters"])
    yield "| answer | type | meaning |\n| --- | --- | --- |"
    yield "".join(_answer(status, answer) for status, answer in operation["responses"].items())


def _parameter(one: dict[str, Any]) -> str:
    schema = one["schema"]
    kinds = [option["type"] for option in schema.get("anyOf", [schema]) if option.get("type", "null") != "null"]
    default = schema.get("default")
    shown = "required" if one.get("required") else f"`{default}`" if default not in (None, "") else ""
    text = one.get("description", schema.get("description", ""))
    return f"| `{one['name']}` | {one['in']} | {', '.join(kinds) or 'text'} | {shown} | {_cell(text)} |\n"


def _answer(status: str, answer: dict[str, Any]) -> str:
    kinds = ", ".join(f"`{kind}`" for kind in answer.get("content", {}))
    return f"| {status} | {kinds} | {_cell(answer['description'])} |\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
