"""ASGI middleware: what every request passes first, and what every answer gets."""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection
from urllib.parse import quote, unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tickfence.readers.quoting import quoted
from tickfence.web.problems import Refusal

MAX_URL = 8_000
"""Bytes of path and query: the least that RFC 9110 asks servers to support."""

_IN_SEGMENTS = ":@!$&'()*+,;="
"""Stand for themselves in a segment of a path, beside letters, digits and ``-._~`` (RFC 3986, pchar)."""

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

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


class Guard:
    """Checks address, length, origin and token of a request, and adds headers to its answer. Outermost.

    Args:
        app: The application behind it.
        token: What requests for data must carry as ``Authorization: Bearer <token>``; empty: nothing.
        hosts: Names accepted in the ``Host`` header; empty: any. A foreign site can make its own name resolve to
            127.0.0.1 and then send requests to this server as its own site (DNS rebinding). The header reveals it.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset(host.lower() for host in hosts)

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
        name = re.sub(r":[0-9]*\Z", "", host).lower()
        if self._hosts and name not in self._hosts:
            detail = f"Host {quoted(host)} is not accepted; add it to NT_WEB_ALLOWED_HOSTS"
            return Refusal(421, "Wrong host", detail, accepted=sorted(self._hosts))
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return Refusal(403, "Wrong origin", f"Origin {quoted(origin)} is another site than {quoted(host)}")
        length = len(scope["raw_path"]) + len(scope["query_string"])
        if length > MAX_URL:
            return Refusal(414, "URL too long", f"path and query have {length} bytes; the maximum is {MAX_URL}")
        if self._token and not _OPEN.fullmatch(scope["path"]):
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode("latin-1"), self._token):
                detail = "send the header Authorization: Bearer <token>, with the value of NT_WEB_TOKEN"
                return Refusal(401, "Token needed", detail, headers={"WWW-Authenticate": 'Bearer realm="tickfence"'})
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
