"""Large answers: sent in pieces, and only a limited number of bytes waits for slow clients."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tickfence.web.problems import Kind, Refusal

PIECE = 64 * 1024
"""Bytes sent at once. The next piece is sent when the client has room for it."""
MAX_WAITING = 64 * 1024 * 1024


class Room:
    """Counts the bytes of answers that wait in memory for their clients; a process has one."""

    def __init__(self) -> None:
        self._waiting = 0

    def take(self, size: int) -> bool:
        """Return whether there was room; a single answer always has it. Give back what you took with `give_back`."""
        if self._waiting and self._waiting + size > MAX_WAITING:
            return False
        self._waiting += size
        return True

    def give_back(self, size: int) -> None:
        """Free the room: the answer was sent, or its client is gone."""
        self._waiting -= size


class LargeAnswer(Response):
    """An answer that takes its place in ``room`` until it was sent. Without room the request is refused.

    Args:
        body: What is sent.
        room: The process's.
        headers: Headers of the answer.
        media_type: What the body is.
    """

    def __init__(
        self, body: bytes, room: Room, headers: Mapping[str, str] | None = None, media_type: str = "application/json"
    ) -> None:
        super().__init__(body, headers=headers, media_type=media_type)
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        body = bytes(self.body)
        if not self._room.take(len(body)):
            detail = (
                f"{MAX_WAITING >> 20} MiB of other answers wait for slow clients; ask for fewer symbols, or try later"
            )
            full = Refusal(Kind.TOO_MANY_ANSWERS, detail, headers={"Retry-After": "5"})
            await full.response()(scope, receive, send)
            return
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, len(body), PIECE):
                await send({"type": "http.response.body", "body": body[start : start + PIECE], "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._room.give_back(len(body))
