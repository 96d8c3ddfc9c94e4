"""ASGI middleware: what every request passes first, and what every answer gets."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import quote, unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tickfence.monitoring import host_names
from tickfence.readers.quoting import quoted
from tickfence.web.clients import READER, Requests, client_of
from tickfence.web.problems import Kind, Refusal
from tickfence.web.tokens import Tokens

MAX_URL = 8_000
"""Bytes of path and query: the least that RFC 9110 asks servers to support."""

_IN_SEGMENTS = ":@!$&'()*+,;="
"""Stand for themselves in a segment of a path, beside letters, digits and ``-._~`` (RFC 3986, pchar)."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

# These need no token. They hold no market data: the page, which asks for the token; the API's description; and the two
# health checks, which machines without a token ask.
_FILES = re.compile(r"/|/static/.*|/docs(?:/.*)?")
_OPEN = re.compile(rf"{_FILES.pattern}|/favicon\.ico|/openapi\.json|/healthz|/readyz")
_HEALTH = ("/healthz", "/readyz")


class Guard:
    """Checks address, length, origin, token and number of requests, and adds headers to the answers.

    Args:
        app: The application behind it.
        tokens: What requests for data must carry as ``Authorization: Bearer <token>``.
        hosts: Names in lower case that are accepted in the ``Host`` header, beside those that `host_names` accepts; ``None``: any.
        origins: Other sites whose pages may read; ``*``: all.
        per_s: Requests a second of one client; 0: any number.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens,
        hosts: Collection[str] | None,
        origins: Collection[str] = (),
        per_s: int = 0,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._hosts = None if hosts is None else frozenset(hosts)
        self._origins = frozenset(origins)
        self._requests = Requests(per_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-cache" if _FILES.fullmatch(scope["path"]) else "no-store")
            await send(message)

        refusal = self._refusal(scope)
        app = self._app if refusal is None else refusal.response()
        await app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts is not None and not host_names.accepted(host, self._hosts):
            detail = f"Host {quoted(host)} is not accepted; add it to NT_WEB_ALLOWED_HOSTS"
            return Refusal(Kind.WRONG_HOST, detail, accepted=sorted({*host_names.EXAMPLES, *self._hosts}))
        own = origin is None or origin.partition("://")[2].lower() == host.lower()
        if not own and not self._origins & {origin, "*"}:
            detail = f"Origin {quoted(origin or '')} is another site than {quoted(host)}; add it to NT_WEB_CORS_ORIGINS"
            return Refusal(Kind.WRONG_ORIGIN, detail)
        length = len(scope["raw_path"]) + len(scope["query_string"])
        if length > MAX_URL:
            return Refusal(Kind.URL_TOO_LONG, f"path and query have {length} bytes; the maximum is {MAX_URL}")
        guarded = bool(self._tokens) and not _OPEN.fullmatch(scope["path"])
        reader = self._tokens.reader(headers.get("authorization", "")) if guarded else None
        if reader is not None:
            scope[READER] = reader
        # Before a wrong token is refused: guesses are limited, too.
        if scope["path"] not in _HEALTH and not self._requests.take(client_of(scope)):
            detail = f"one client may make {self._requests.per_s} requests a second; NT_WEB_CLIENT_REQUESTS_PER_S allows no more"
            return Refusal(Kind.CLIENT_REQUESTS, detail, headers={"Retry-After": "1"})
        if guarded and reader is None:
            detail = "send the header Authorization: Bearer <token>, with the value of NT_WEB_TOKEN"
            return Refusal(Kind.TOKEN_NEEDED, detail, headers={"WWW-Authenticate": 'Bearer realm="tickfence"'})
        return None


class EncodedPath:
    """Routes by the path as it was sent: ``/reports/kraken%3ABTC%2FUSD`` has two segments.

    A server decodes a path before the application gets it, and ``%2F`` becomes a slash like any other. Behind this, each
    segment of ``scope["path"]`` is percent-encoded, in one way only, and so is what a route takes from it.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] == "http" and b"%" in scope["raw_path"]:
            segments = scope["raw_path"].decode("ascii", "replace").split("/")
            scope = {**scope, "path": "/".join(quote(unquote(segment), safe=_IN_SEGMENTS) for segment in segments)}
        await self._app(scope, receive, send)


class Head:
    """Answers HEAD like GET, without the body (RFC 9110, 9.3.2).

    The application gets GET; a stream ends when its headers are sent.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        await self._app({**scope, "method": "GET"}, receive, send_head)
