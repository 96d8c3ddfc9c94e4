"""Counts and times requests, and logs who reads what."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tickfence.monitoring import web_metrics
from tickfence.web.clients import READER
from tickfence.web.openapi import operation_id
from tickfence.web.tokens import ONLY

logger = logging.getLogger("web")

_LONGEST = 300  # characters of a query in the log


class Measured:
    """Counts each answer and the time until it begins. Logs the requests of readers with a token of their own.

    Args:
        app: The application behind it.
        operations: Those of the HTTP API. All others are counted as `web_metrics.OTHER`.
    """

    def __init__(self, app: ASGIApp, operations: Collection[str]) -> None:
        self._app, self._operations = app, frozenset(operations)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()

        async def send_measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(scope, message["status"], (time.monotonic() - started) * 1000)
            await send(message)

        await self._app(scope, receive, send_measured)

    def _note(self, scope: Scope, status: int, took_ms: float) -> None:
        route = scope.get("route")
        name = operation_id(route) if isinstance(route, APIRoute) else web_metrics.OTHER
        operation = name if name in self._operations else web_metrics.OTHER
        web_metrics.requests.labels(operation, f"{status // 100}xx").inc()
        web_metrics.latency.labels(operation).observe(took_ms)
        reader = scope.get(READER, ONLY)
        if reader != ONLY:
            # Parameters that an operation does not have may hold anything, even a token.
            query = scope["query_string"].decode("latin-1")[:_LONGEST]
            known = status < 400 and operation != web_metrics.OTHER
            said = {"reader": reader, "operation": operation, "path": scope["path"], "status": status}
            client = (scope.get("client") or ("",))[0]
            logger.info("read", extra=said | {"query": query if known else "", "client": client})
