"""The API's description: the schemas of what is answered, made from the very types that are encoded."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from web.problems import MEDIA_TYPE, Problem

_REF = "#/components/schemas/"
_answered: dict[str, type[msgspec.Struct]] = {"Problem": Problem}

_TITLES = {
    401: "Without the token",
    404: "Unknown symbol",
    414: "URL too long",
    422: "Bad parameter",
    503: "Redis is away, or there is no report",
}


def answers(kind: type[msgspec.Struct], *refusals: int) -> dict[int | str, dict[str, Any]]:
    """For a route's ``responses``: 200 with ``kind``, and problems with the statuses ``refusals``."""
    _answered[kind.__name__] = kind
    schema = {"$ref": _REF + kind.__name__}
    found: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"schema": schema}}}}
    for status in (401, *refusals):
        content = {MEDIA_TYPE: {"schema": {"$ref": _REF + "Problem"}}}
        found[status] = {"description": _TITLES[status], "content": content}
    return found


def streams(*refusals: int) -> dict[int | str, dict[str, Any]]:
    """For the ``responses`` of a route that answers with server-sent events."""
    found = answers(Problem, *refusals)
    found[200] = {"description": "Server-sent events, without an end", "content": {"text/event-stream": {}}}
    return found


def install(app: FastAPI) -> None:
    """Have ``app`` describe itself with the schemas of all that was given to `answers`."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            page = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = page.setdefault("components", {})
            components["schemas"] = schemas()
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            page["security"] = [{}, {"token": []}]
            for path in page["paths"].values():
                for operation in path.values():
                    # FastAPI's own words for 422, which are not what is answered here.
                    if MEDIA_TYPE not in operation["responses"].get("422", {}).get("content", {}):
                        operation["responses"].pop("422", None)
            app.openapi_schema = page
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def schemas() -> dict[str, Any]:
    """All schemas by name."""
    _, found = msgspec.json.schema_components(_answered.values(), ref_template=_REF + "{name}")
    return dict(found)
