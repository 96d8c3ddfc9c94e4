"""A WebSocket connection that speaks OKX's dialect: subscriptions, text pings, limits."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Coroutine, Mapping
from typing import Any

from aiohttp import WSMessage, WSMsgType

from tools.simulator.connection import Connection, Limits
from tools.simulator.hub import Hub
from tools.simulator.okx import VENUE, wire
from tools.simulator.okx.source import Source, channel

CONTROL_MESSAGES_PER_HOUR = 480
SILENCE_S = 30.0
_NO_DATA = 4004
"""The close code of a connection on which nothing came or went for `SILENCE_S`."""


class OkxConnection(Connection):
    """A connection to the public channels.

    Args:
        hub: of the channels.
        limits: of its length.
        sources: the instruments, by name.
        refusals: instrument -> the error code of its subscriptions, for those that are refused.
        silence_s: as `SILENCE_S`.
    """

    venue = VENUE

    def __init__(
        self,
        hub: Hub,
        limits: Limits,
        sources: Mapping[str, Source],
        refusals: Mapping[str, str],
        silence_s: float = SILENCE_S,
    ) -> None:
        super().__init__(hub, limits)
        self._sources = sources
        self._refusals = refusals
        self._silence_s = silence_s
        self._control_times: deque[float] = deque()
        self._active_at = time.monotonic()

    def background(self) -> list[Coroutine[Any, Any, None]]:
        """As Connection.background()."""
        return [self._watch()]

    def shutdown_message(self) -> bytes:
        """As Connection.shutdown_message()."""
        return wire.notice(wire.SERVICE_UPGRADE)

    def flush(self) -> None:
        """As Connection.flush()."""
        self._active_at = time.monotonic()
        super().flush()

    async def on_message(self, message: WSMessage) -> None:
        """As Connection.on_message()."""
        self._active_at = time.monotonic()
        if message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
        elif message.type is WSMsgType.TEXT:
            if message.data == "ping":
                self.send(b"pong")
            else:
                self._control(message.data)

    def end_channel(self, kind: str, connections: int) -> None:
        """Ends all subscriptions to a channel: too many connections have them."""
        names = [name for name in self.streams if name.startswith(channel(kind, ""))]
        if names:
            self.unsubscribe(names)
            self.send(wire.too_many_connections(kind, connections))

    def _control(self, text: str) -> None:
        try:
            request = json.loads(text)
            operation, arguments = request["op"], request["args"]
            asked = [(one["channel"], one["instId"]) for one in arguments]
        except (ValueError, TypeError, KeyError):
            self.send(wire.error(wire.INVALID_REQUEST, f"Invalid request: {text[:200]}"))
            return
        request_id = request.get("id")
        if operation not in ("subscribe", "unsubscribe"):
            self.send(wire.error(wire.INVALID_REQUEST, f"Invalid request: {text[:200]}", request_id))
        elif self._too_many_messages():
            self.send(wire.error(wire.TOO_FREQUENT, wire.TEXTS[wire.TOO_FREQUENT], request_id))
        else:
            for kind, name in asked:
                self._change(operation, kind, name, request_id)

    def _change(self, operation: str, kind: str, name: str, request_id: object) -> None:
        """Carries out one argument of a subscription."""
        source = self._sources.get(name)
        code = self._refusals.get(name) if operation == "subscribe" else None
        if kind not in wire.CHANNELS or source is None or code == wire.DOES_NOT_EXIST:
            self.send(wire.error(wire.DOES_NOT_EXIST, wire.does_not_exist(kind, name), request_id))
            return
        if code is not None:
            self.send(wire.error(code, wire.TEXTS.get(code, "A fault was asked for"), request_id))
            return
        self.send(wire.acknowledgement(operation, kind, name, request_id))
        if operation == "unsubscribe":
            self.unsubscribe([channel(kind, name)])
            return
        if kind == wire.BOOKS and (snapshot := source.snapshot()) is not None:
            self.send(snapshot)
        self.subscribe([channel(kind, name)])

    def _too_many_messages(self) -> bool:
        now, times = time.monotonic(), self._control_times
        times.append(now)
        while times[0] <= now - 3600.0:
            times.popleft()
        return len(times) > CONTROL_MESSAGES_PER_HOUR

    async def _watch(self) -> None:
        """Ends the connection when it is silent for too long."""
        while True:
            left = self._active_at + self._silence_s - time.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(left)
        self.begin_close(_NO_DATA, "No data received in 30s")
