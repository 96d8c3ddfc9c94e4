"""Where the page leads to: the other pages of the deployment, as operators name them."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request
from msgspec import Struct
from starlette.responses import Response

from tickfence.web.api import reader_of

router = APIRouter()


class Link(Struct, frozen=True):
    """A page elsewhere."""

    name: str
    url: str


@router.get("/links", include_in_schema=False)
async def get_links(request: Request) -> Response:
    """The links of ``NT_WEB_LINKS``, in their order. It asks no Redis, so they are there in an outage, too."""
    links = [Link(name, url) for name, url in reader_of(request).settings.nt_web_links.items()]
    return Response(msgspec.json.encode(links), media_type="application/json")
