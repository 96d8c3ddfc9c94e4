"""The API's description (OpenAPI 3.1). Its schemas come from the same types that the answers are encoded from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from tickfence.web import examples
from tickfence.web.board import frame
from tickfence.web.problems import MEDIA_TYPE, Kind, Problem

Responses = dict[int | str, dict[str, Any]]
_REF = "#/components/schemas/"
_answered: dict[str, type[msgspec.Struct]] = {}

_MEANING = {
    401: "Without the token",
    404: "Unknown symbol or pair",
    422: "Bad parameter",
    429: "Too many requests, or open streams, of one client",
    502: "Redis holds no report of this schema version",
    503: "Redis does not answer, there is no report, or the server is busy",
}
_OTHERWISE = (
    "Any other refusal: 403 the `Origin` is another site, 414 the URL is too long, 421 the `Host` is not accepted"
)
_HEADERS = {
    "Report-Stale": {"description": "Whether a report in this answer is stale.", "schema": {"enum": ["true", "false"]}},
    "Report-Age-Ms": {"description": "Time since the report was written.", "schema": {"type": "integer", "minimum": 0}},
    "ETag": {"description": "Changes with the data.", "schema": {"type": "string"}},
    "Link": {
        "description": 'The address of what follows, as `rel="next"`, if anything does.',
        "schema": {"type": "string"},
    },
    "Note": {"description": "What is missing, in one sentence, if anything is.", "schema": {"type": "string"}},
}


def answers(
    example: msgspec.Struct, *refusals: int | Problem, headers: tuple[str, ...] = (), csv: str = ""
) -> Responses:
    """Return a route's ``responses``.

    Args:
        example: An answer with status 200.
        refusals: Statuses of problems, besides those that every route with data has, or examples of them.
        headers: Names of the answer's headers.
        csv: An answer as CSV, where there is one: then `web/representation.py` makes the answers.
    """
    found: Responses = {200: {"content": _json(example)}}
    if csv:
        found[200]["content"]["text/csv"] = {"schema": {"type": "string"}, "example": csv}
        headers = (*headers, "Link", "Note")
    found[200]["headers"] = {name: _HEADERS[name] for name in ("ETag", *headers)}
    found[304] = {"description": "The client has it: `If-None-Match` names its `ETag`"}
    return found | _refusals(401, *refusals, 422, 429, 503)


def open_answers(example: msgspec.Struct, **others: msgspec.Struct) -> Responses:
    """Return the ``responses`` of a route that needs no token.

    Args:
        example: An answer with status 200.
        others: Other answers by status, like ``s503``.
    """
    found: Responses = {200: {"content": _json(example)}}
    for status, other in others.items():
        found[int(status.removeprefix("s"))] = {"description": "Not ready", "content": _json(other)}
    return found | _refusals()


def streams(events: Mapping[str, msgspec.Struct], *refusals: int) -> Responses:
    """Return the ``responses`` of a route that answers with server-sent events.

    OpenAPI 3.1 cannot describe the events of a stream: their schemas are in ``x-events``.

    Args:
        events: An example of each event, by name.
        refusals: Statuses of problems, besides those that every route with data has.
    """
    listed = ", ".join(f"`{name}` ({type(example).__name__})" for name, example in events.items())
    text = b"".join(frame(name, example) for name, example in events.items()).decode()
    content = {
        "schema": {"type": "string"},
        "example": text,
        "x-events": {name: _schema(example) for name, example in events.items()},
    }
    stream = {
        "description": f"Server-sent events, an endless stream: {listed}",
        "content": {"text/event-stream": content},
    }
    return {200: stream} | _refusals(401, *refusals, 422, 429, 503)


def install(app: FastAPI) -> None:
    """Make ``app`` describe itself with the schemas of all examples that were given here."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            page = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = page.setdefault("components", {})
            components["schemas"] = schemas()
            page["x-problem-codes"] = {kind.code: {"status": kind.value[0], "title": kind.value[1]} for kind in Kind}
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
    """Return all schemas by name."""
    _, found = msgspec.json.schema_components(_answered.values(), ref_template=_REF + "{name}")
    return {name: _without_tuples(schema) for name, schema in found.items()}


def operation_id(route: APIRoute) -> str:
    """Return the name of a route for people and for the methods of generated clients: ``getReport``.

    Args:
        route: Its function is called ``get_report``.
    """
    first, *others = route.name.split("_")
    return first + "".join(map(str.capitalize, others))


def operations(app: FastAPI) -> list[str]:
    """Return the names of all operations that ``app`` describes."""
    return [one["operationId"] for path in app.openapi()["paths"].values() for one in path.values()]


def _without_tuples(schema: Any) -> Any:
    """Describe a tuple as a list of so many items of its types: generators of clients know no ``prefixItems``."""
    if isinstance(schema, list):
        return [_without_tuples(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _without_tuples(value) for key, value in schema.items() if key != "prefixItems"}
    if "prefixItems" in schema:
        first, *others = schema["prefixItems"]
        kinds = [first, *(kind for kind in others if kind != first)]
        found["items"] = {"anyOf": kinds} if len(kinds) > 1 else first
    return found


def _refusals(*problems: int | Problem) -> Responses:
    found: Responses = {"default": {"description": _OTHERWISE, "content": _json(examples.WRONG_HOST)}}
    for given in problems:
        problem = examples.PROBLEMS[given] if isinstance(given, int) else given
        found[problem.status] = {"description": _MEANING[problem.status], "content": _json(problem)}
    return found


def _json(example: msgspec.Struct) -> dict[str, Any]:
    kind = MEDIA_TYPE if isinstance(example, Problem) else "application/json"
    return {kind: {"schema": _schema(example), "example": msgspec.to_builtins(example)}}


def _schema(example: msgspec.Struct) -> dict[str, str]:
    name = type(example).__name__
    _answered[name] = type(example)
    return {"$ref": _REF + name}
