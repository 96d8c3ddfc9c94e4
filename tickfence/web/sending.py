"""Large answers: sent in pieces, and only a limited number of bytes waits for slow clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tickfence.web.clients import client_of
from tickfence.web.problems import Kind, Refusal

PIECE = 64 * 1024
"""Bytes sent at once. The next piece is sent when the client has room for it."""
MAX_WAITING = 64 * 1024 * 1024
MAX_OF_CLIENT = MAX_WAITING // 4


class Room:
    """Counts the bytes of answers that wait in memory for their clients; a process has one."""

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()

    def take(self, client: str, size: int) -> Refusal | None:
        """Take room for an answer, or return why there is none. Give back what you took with `give_back`.

        The limit of a client does not apply to its first answer, nor the limit of all to the only one.
        """
        wait = {"Retry-After": "5"}
        if self._waiting[client] and self._waiting[client] + size > MAX_OF_CLIENT:
            detail = (
                f"read your other answers first: at most {MAX_OF_CLIENT >> 20} MiB of a client's answers wait for it"
            )
            return Refusal(Kind.CLIENT_ANSWERS, detail, headers=wait)
        taken = self._waiting.total()
        if taken and taken + size > MAX_WAITING:
            waiting = f"{MAX_WAITING >> 20} MiB of other answers wait for slow clients"
            return Refusal(Kind.TOO_MANY_ANSWERS, f"{waiting}; ask for fewer symbols, or try later", headers=wait)
        self._waiting[client] += size
        return None

    def give_back(self, client: str, size: int) -> None:
        """Free the room: the answer was sent, or its client is gone."""
        self._waiting[client] -= size
        self._waiting += Counter()  # drops those at 0


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
        body, client = bytes(self.body), client_of(scope)
        refusal = self._room.take(client, len(body))
        if refusal is not None:
            await refusal.response()(scope, receive, send)
            return
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, len(body), PIECE):
                await send({"type": "http.response.body", "body": body[start : start + PIECE], "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._room.give_back(client, len(body))
