"""Connections without a whole request: each has a short time to send one, and there are only so many of them.

uvicorn waits for the headers and the body of a request for as long as a client likes, and counts such a connection like a
busy one.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_WITHIN_S = 10.0
"""How long a client may take to send its request, with the body."""
KEPT_FREE = 100
"""Connections that stay free for clients that send a request. When fewer are free, the oldest without a request is closed."""

_waiting: dict[PromptProtocol, asyncio.TimerHandle] = {}  # the oldest first


class PromptProtocol(H11Protocol):
    """HTTP/1.1 on one connection, which is closed if no request comes in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait no longer if the whole request is here."""
        super().data_received(data)
        if self._answering():
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is here already."""
        super().on_response_complete()
        if not self.transport.is_closing() and not self._answering():
            self._wait()

    def _answering(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _wait(self) -> None:
        self._stop_waiting()
        _waiting[self] = self.loop.call_later(REQUEST_WITHIN_S, self.transport.close)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency - KEPT_FREE:
            oldest = next(iter(_waiting))
            oldest._stop_waiting()
            oldest.transport.close()

    def _stop_waiting(self) -> None:
        timer = _waiting.pop(self, None)
        if timer is not None:
            timer.cancel()
