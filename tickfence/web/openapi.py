"""The API's description: the schemas of what is answered, made from the very types that are encoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tickfence.web import examples
from tickfence.web.problems import MEDIA_TYPE, Problem
from tickfence.web.sse import frame

Responses = dict[int | str, dict[str, Any]]
_REF = "#/components/schemas/"
_answered: dict[str, type[msgspec.Struct]] = {}

_MEANING = {
    401: "Without the token",
    404: "Unknown symbol",
    422: "Bad parameter",
    502: "What stands in Redis is no report of this schema version",
    503: "Redis is away, there is no report, or too much is asked at the same time",
}
_OTHERWISE = (
    "Any other refusal: 403 another site's `Origin`, 414 too long a URL, 421 a `Host` that is not this server's"
)
_HEADERS = {
    "Report-Stale": {"description": "Whether a report here is stale.", "schema": {"enum": ["true", "false"]}},
    "Report-Age-Ms": {"description": "Since the report was written.", "schema": {"type": "integer", "minimum": 0}},
}


def answers(example: msgspec.Struct, *refusals: int, headers: tuple[str, ...] = ()) -> Responses:
    """For a route's ``responses``: 200 as ``example`` is, problems with the statuses ``refusals``, and those of all data."""
    found: Responses = {200: {"content": _json(example)}}
    if headers:
        found[200]["headers"] = {name: _HEADERS[name] for name in headers}
    return found | _refusals(401, *refusals, 422, 503)


def open_answers(example: msgspec.Struct, **others: msgspec.Struct) -> Responses:
    """The same for a route that asks for no token; ``others`` by status, like ``s503``."""
    found: Responses = {200: {"content": _json(example)}}
    for status, other in others.items():
        found[int(status.removeprefix("s"))] = {"description": "Not ready", "content": _json(other)}
    return found | _refusals()


def streams(events: Mapping[str, msgspec.Struct], *refusals: int) -> Responses:
    """For the ``responses`` of a route that answers with server-sent events: an example of each, by name.

    OpenAPI 3.1 has no word for the schemas of a stream's events: they stand in ``x-events``.
    """
    listed = ", ".join(f"`{name}` ({type(example).__name__})" for name, example in events.items())
    text = b"".join(frame(name, example) for name, example in events.items()).decode()
    content = {
        "schema": {"type": "string"},
        "example": text,
        "x-events": {name: _schema(example) for name, example in events.items()},
    }
    stream = {
        "description": f"Server-sent events, without an end: {listed}",
        "content": {"text/event-stream": content},
    }
    return {200: stream} | _refusals(401, *refusals, 422, 503)


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
                    if "401" not in operation["responses"]:
                        operation["security"] = []
            app.openapi_schema = page
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def schemas() -> dict[str, Any]:
    """All schemas by name."""
    _, found = msgspec.json.schema_components(_answered.values(), ref_template=_REF + "{name}")
    return dict(found)


def _refusals(*statuses: int) -> Responses:
    found: Responses = {"default": {"description": _OTHERWISE, "content": _json(examples.WRONG_HOST)}}
    for status in statuses:
        found[status] = {"description": _MEANING[status], "content": _json(examples.PROBLEMS[status])}
    return found


def _json(example: msgspec.Struct) -> dict[str, Any]:
    kind = MEDIA_TYPE if isinstance(example, Problem) else "application/json"
    return {kind: {"schema": _schema(example), "example": msgspec.to_builtins(example)}}


def _schema(example: msgspec.Struct) -> dict[str, str]:
    name = type(example).__name__
    _answered[name] = type(example)
    return {"$ref": _REF + name}
