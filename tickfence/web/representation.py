"""Data in the form that a client wants: JSON or CSV, compressed or not, or only that it has not changed."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Callable, Mapping
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

    CSV has no place for the next address and the note, so headers have them. The tag is weak: it is that of the data,
    whenever and in whatever encoding somebody asks for them.

    Args:
        request: What was asked.
        given: ``?format=``; ``None``: what the header ``Accept`` prefers, else JSON.
        page: What is answered.
    """
    accept, takes = (",".join(request.headers.getlist(name)) for name in ("accept", "accept-encoding"))
    prefers_csv = _quality(accept, "text/csv") > _quality(accept, "application/json", "application/*", "*/*")
    form: Form = given or ("csv" if prefers_csv else "json")
    tag = await asyncio.to_thread(_tag, page, form)
    headers = {"ETag": f"W/{tag}", "Cache-Control": "private, no-cache", "Vary": "Accept, Accept-Encoding"}
    known = re.findall(r'"[^"]*"|\*', request.headers.get("if-none-match", ""))
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    if page.next:
        headers["Link"] = f'<{page.next}>; rel="next"'
    if page.note:
        headers["Note"] = page.note.encode("ascii", "replace").decode()
    if form == "csv":
        headers["Content-Disposition"] = f'inline; filename="{re.sub("[^A-Za-z0-9]+", "-", page.name)}.csv"'
    body = await asyncio.to_thread(_encoded, page, form)
    if len(body) >= _WORTH_GZIP and _quality(takes, "gzip", "*") > 0:
        headers["Content-Encoding"] = "gzip"
        body = await asyncio.to_thread(gzip.compress, body, 5, mtime=0)
    return LargeAnswer(body, request.app.state.room, headers, MEDIA_TYPES[form])


def next_address(request: Request, **others: object) -> str:
    """Return the path and query of ``request`` with other values of some parameters."""
    return f"{quote(request.url.path, safe='/%')}?{urlencode({**request.query_params, **others})}"


def _encoded(page: Page, form: Form) -> bytes:
    return csv_of(page.columns).encode() if form == "csv" else msgspec.json.encode(page.whole())


def _tag(page: Page, form: Form) -> str:
    data = msgspec.json.encode((page.columns, page.next is None, page.note, form))
    return f'"{blake2b(data, digest_size=12).hexdigest()}"'


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
