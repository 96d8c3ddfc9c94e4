"""Data in the form that a client wants: JSON or CSV, compressed or not, or only that it has not changed."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from typing import Literal, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
from fastapi import Request
from msgspec import Struct
from starlette.responses import Response

from tickfence.readers.columns import Columns, csv_of
from tickfence.web.sending import LargeAnswer

Form = Literal["json", "csv"]
MEDIA_TYPES: Mapping[Form, str] = {"json": "application/json", "csv": "text/csv"}
_WORTH_GZIP = 1_400  # bytes; what is shorter fits into one packet


class Page(NamedTuple):
    """What is answered.

    Attributes:
        columns: The data, as CSV has it.
        whole: Makes the JSON answer.
        name: Of the file that CSV is saved as, without its ending.
        next: The address of what follows, if anything does.
        note: What is missing, in one sentence, if anything is.
    """

    columns: Columns
    whole: Callable[[], Struct]
    name: str
    next: str | None = None
    note: str | None = None


async def represented(request: Request, given: Form | None, page: Page) -> Response:
    """Return ``page``, or 304 if the client has it.

    CSV has no place for the next address and the note, so headers have them.

    Args:
        request: What was asked.
        given: ``?format=``; ``None``: what the header ``Accept`` prefers, else JSON.
        page: What is answered.
    """
    accept = ",".join(request.headers.getlist("accept"))
    prefers_csv = _quality(accept, "text/csv") > _quality(accept, "application/json", "application/*", "*/*")
    form: Form = given or ("csv" if prefers_csv else "json")
    tag = await asyncio.to_thread(_tag, page, form)
    headers: dict[str, str] = {"Vary": "Accept"}
    if page.next:
        headers["Link"] = f'<{page.next}>; rel="next"'
    if page.note:
        headers["Note"] = page.note.encode("ascii", "replace").decode()
    if form == "csv":
        headers["Content-Disposition"] = f'inline; filename="{re.sub("[^A-Za-z0-9]+", "-", page.name)}.csv"'
    return await answered(
        request, tag, lambda: asyncio.to_thread(_encoded, page, form), headers, media_type=MEDIA_TYPES[form]
    )


async def json_answer(
    request: Request, data: object, headers: Mapping[str, str] | None = None, *, same: object = None
) -> Response:
    """Return ``data`` as JSON, compressed if the client accepts it, or 304 if the client has it.

    Args:
        request: What was asked.
        data: What is answered.
        headers: Headers of the answer.
        same: What tells whether the data have changed, where something in them changes all the time, like an age.
            Default: the data.
    """
    body = msgspec.json.encode(data)

    async def encoded() -> bytes:
        return body

    return await answered(request, tag_of(body if same is None else msgspec.json.encode(same)), encoded, headers)


async def answered(
    request: Request,
    tag: str,
    body: Callable[[], Awaitable[bytes]],
    headers: Mapping[str, str] | None = None,
    *,
    media_type: str = MEDIA_TYPES["json"],
) -> Response:
    """Return the answer with this tag, compressed if the client accepts it, or 304 if the client has it.

    The tag is weak: it is that of the data, whenever and in whatever encoding somebody asks for them.

    Args:
        request: What was asked.
        tag: What `tag_of` returned.
        body: Makes the body.
        headers: Headers of the answer.
        media_type: What the body is.
    """
    given = dict(headers or {})
    given["Vary"] = ", ".join(filter(None, (given.get("Vary"), "Accept-Encoding")))
    given |= {"ETag": f"W/{tag}", "Cache-Control": "private, no-cache"}
    known = re.findall(r'"[^"]*"|\*', request.headers.get("if-none-match", ""))
    if tag in known or "*" in known:
        return Response(status_code=304, headers=given)
    content = await body()
    takes = ",".join(request.headers.getlist("accept-encoding"))
    if len(content) >= _WORTH_GZIP and _quality(takes, "gzip", "*") > 0:
        given["Content-Encoding"] = "gzip"
        content = await asyncio.to_thread(gzip.compress, content, 5, mtime=0)
    return LargeAnswer(content, request.app.state.room, given, media_type)


def tag_of(*data: bytes) -> str:
    """Return the tag of ``data``, in its quotation marks."""
    digest = blake2b(digest_size=12)
    for part in data:
        digest.update(part)
    return f'"{digest.hexdigest()}"'


def next_address(request: Request, **others: object) -> str:
    """Return the path and query of ``request`` with other values of some parameters."""
    return f"{quote(request.url.path, safe='/%')}?{urlencode({**request.query_params, **others})}"


def _encoded(page: Page, form: Form) -> bytes:
    return csv_of(page.columns).encode() if form == "csv" else msgspec.json.encode(page.whole())


def _tag(page: Page, form: Form) -> str:
    return tag_of(msgspec.json.encode((page.columns, page.next is None, page.note, form)))


def _quality(accepted: str, *names: str) -> float:
    """How much a header like ``Accept`` wants the first of ``names`` that it has; 0: not at all.

    https://www.rfc-editor.org/rfc/rfc9110#name-quality-values
    """
    wanted = {}
    for part in accepted.split(","):
        name, *options = (word.strip().lower() for word in part.split(";"))
        given = re.fullmatch(r"q=([01](?:\.[0-9]{0,3})?)", options[-1]) if options else None
        wanted[name] = float(given[1]) if given else 1.0
    return next((wanted[name] for name in names if name in wanted), 0.0)
