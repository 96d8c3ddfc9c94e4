"""One WebSocket connection: sending, its limits and its end. What it hears is a dialect's matter.

Events go directly to the transport, as complete frames joined into one write per slot. (If aiohttp framed 15,000
messages per second one by one, that would cost several times as much as the market itself.) Data that the peer has not
read waits in the transport's buffer. When the buffer exceeds its limit, the peer is disconnected, as an exchange does.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from tools.simulator import protocol
from tools.simulator.hub import Hub

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a connection, by default Binance's; times in seconds."""

    control_messages_per_second: int = 5
    ping_interval: float = 20.0
    pong_timeout: float = 60.0
    lifetime: float = 86_400.0
    shutdown_notice: float = 10.0
    unread_bytes: int = 16 * 2**20


class Connection(ABC):
    """A subscriber (see hub.Subscriber) with its WebSocket.

    Attributes:
        venue: whose dialect it speaks.
        streams: names of the channels that it is subscribed to.
    """

    venue: ClassVar[str]

    def __init__(self, hub: Hub, limits: Limits, *, combined: bool = False) -> None:
        self.combined = combined
        self.pending: list[bytes] = []
        self.streams: dict[str, None] = {}
        self._hub = hub
        self._limits = limits
        self._socket = web.WebSocketResponse(autoping=False, autoclose=False, compress=False)
        self._transport: asyncio.Transport | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()

    @abstractmethod
    def background(self) -> list[Coroutine[Any, Any, None]]:
        """What runs as long as the connection."""

    @abstractmethod
    async def on_message(self, message: WSMessage) -> None:
        """Takes a text, binary, ping or pong message."""

    @abstractmethod
    def shutdown_message(self) -> bytes:
        """What announces the end of the connection."""

    def subscribe(self, names: Sequence[str]) -> None:
        """Sends the events of these channels from now on."""
        self.streams |= dict.fromkeys(names)
        self._hub.subscribe(self, names)

    def unsubscribe(self, names: Sequence[str]) -> None:
        """Stops sending the events of these channels."""
        for name in names:
            self.streams.pop(name, None)
        self._hub.unsubscribe(self, names)

    async def serve(self, request: web.Request, streams: Sequence[str] = ()) -> web.WebSocketResponse:
        """Handles the connection until it ends; `streams` are those named in its URL."""
        await self._socket.prepare(request)
        if not isinstance(request.transport, asyncio.Transport):
            return self._socket  # the peer left before the handshake was answered
        self._transport = request.transport
        self._hub.connections.append(self)
        background = [asyncio.create_task(one) for one in self.background()]
        try:
            self.subscribe(streams)
            await self._receive()
        finally:
            self._ended.set()
            if self._closing:
                self._closing.cancel()
            for task in background:
                task.cancel()
            self._hub.connections.remove(self)
            self._hub.unsubscribe(self, self.streams)
        return self._socket

    def flush(self) -> None:
        """Sends what is pending in one write; disconnects a peer that does not read."""
        transport = self._transport
        if transport is None or transport.is_closing() or self._closing:
            self.pending.clear()
            return
        unread = transport.get_write_buffer_size()
        if unread > self._limits.unread_bytes:
            logger.warning("disconnecting a subscriber with %d unread bytes", unread)
            self.abort()
            return
        transport.write(b"".join(self.pending))
        self.pending.clear()

    @property
    def unread_bytes(self) -> int:
        """Bytes that the peer has not read yet."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    def abort(self) -> None:
        """Cuts the connection without a closing handshake."""
        self.pending.clear()
        if self._transport is not None:
            self._transport.abort()

    def begin_close(self, code: int, reason: str) -> None:
        """Sends a close frame and nothing after it; disconnects a peer that does not answer within two seconds."""
        if self._closing or self._transport is None or self._transport.is_closing():
            return
        self.flush()
        self._transport.write(protocol.close_frame(code, reason))
        self._closing = asyncio.get_running_loop().call_later(CLOSING_SECONDS, self.abort)

    async def close(self, code: int = WSCloseCode.GOING_AWAY, reason: str = "") -> None:
        """Ends the connection with a closing handshake and waits for its end."""
        self.begin_close(code, reason)
        await self._ended.wait()

    async def announce_shutdown(self, notice: float) -> None:
        """Announces the end of the connection and closes it `notice` seconds later."""
        self.send(self.shutdown_message())
        await asyncio.sleep(notice)
        await self.close(reason="server shutdown")

    def send(self, payload: bytes) -> None:
        """Sends one message, after all that waits."""
        self.pending.append(protocol.frame(payload))
        self.flush()

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.CLOSE:
                if self._closing and self._transport:
                    self._transport.close()
                else:
                    await self._socket.close(code=message.data or WSCloseCode.OK)
                return
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG):
                return
            if not self._closing:
                await self.on_message(message)
