"""One WebSocket connection: its control messages, pings, limits and end.

Events go directly to the transport, as complete frames joined into one write per slot. (If aiohttp framed 15,000
messages per second one by one, that would cost several times as much as the market itself.) Data that the peer has not
read waits in the transport's buffer. When the buffer exceeds its limit, the peer is disconnected, as an exchange does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import WSCloseCode, WSMsgType, web

from tools.simulator import control, protocol
from tools.simulator.hub import Hub

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Binance's limits of a connection; times in seconds."""

    control_messages_per_second: int = 5
    ping_interval: float = 20.0
    pong_timeout: float = 60.0
    lifetime: float = 86_400.0
    shutdown_notice: float = 10.0
    unread_bytes: int = 16 * 2**20


class Connection:
    """A subscriber (see hub.Subscriber) with its WebSocket."""

    def __init__(self, hub: Hub, limits: Limits, *, combined: bool) -> None:
        self.combined = combined
        self.pending: list[bytes] = []
        self.streams: dict[str, None] = {}
        self._hub = hub
        self._limits = limits
        self._socket = web.WebSocketResponse(autoping=False, autoclose=False, compress=False)
        self._transport: asyncio.Transport | None = None
        self._control_times: deque[float] = deque()
        self._pings: dict[bytes, None] = {}
        self._last_pong = 0.0
        self._closing: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()

    async def serve(self, request: web.Request, streams: Sequence[str]) -> web.WebSocketResponse:
        """Handles the connection until it ends; `streams` are those named in its URL."""
        await self._socket.prepare(request)
        if not isinstance(request.transport, asyncio.Transport):
            return self._socket  # the peer left before the handshake was answered
        self._transport = request.transport
        self._hub.connections.append(self)
        background = [asyncio.create_task(self._keep_alive()), asyncio.create_task(self._end_of_life())]
        try:
            self._subscribe(streams)
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
        """Sends a serverShutdown event and closes the connection `notice` seconds later."""
        self._send(protocol.server_shutdown(time.time_ns() // 1_000_000))
        await asyncio.sleep(notice)
        await self.close(reason="server shutdown")

    def _send(self, payload: bytes) -> None:
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
            if self._closing:
                continue
            if self._too_many_messages():
                logger.warning("disconnecting a subscriber that sends too many messages per second")
                self.begin_close(WSCloseCode.POLICY_VIOLATION, "Too many requests")
            elif message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._take_pong(bytes(message.data))
            else:
                self._control(message.data)

    def _too_many_messages(self) -> bool:
        now, times = time.monotonic(), self._control_times
        times.append(now)
        while times[0] <= now - 1.0:
            times.popleft()
        return len(times) > self._limits.control_messages_per_second

    def _control(self, text: str | bytes) -> None:
        try:
            request = control.parse(text)
        except control.ControlError as error:
            self._send(error.reply())
            return
        result: object = None
        match request.method:
            case "SUBSCRIBE":
                self._subscribe(request.params)
            case "UNSUBSCRIBE":
                for name in request.params:
                    self.streams.pop(name, None)
                self._hub.unsubscribe(self, request.params)
            case "LIST_SUBSCRIPTIONS":
                result = list(self.streams)
            case "SET_PROPERTY":
                self.combined = request.params[1]
            case "GET_PROPERTY":
                result = self.combined
        self._send(control.reply(request.request_id, result))

    def _subscribe(self, names: Sequence[str]) -> None:
        wanted = self.streams | dict.fromkeys(names)
        if len(wanted) > protocol.MAX_STREAMS:
            logger.warning("disconnecting a subscriber that wants %d streams", len(wanted))
            self.begin_close(WSCloseCode.POLICY_VIOLATION, f"more than {protocol.MAX_STREAMS} streams")
            return
        self.streams = wanted
        self._hub.subscribe(self, names)

    def _take_pong(self, payload: bytes) -> None:
        if payload in self._pings:
            self._pings.clear()
            self._last_pong = time.monotonic()

    async def _keep_alive(self) -> None:
        self._last_pong = time.monotonic()
        while True:
            await asyncio.sleep(self._limits.ping_interval)
            if time.monotonic() - self._last_pong > self._limits.pong_timeout:
                logger.warning("disconnecting a subscriber that did not answer pings")
                self.begin_close(WSCloseCode.POLICY_VIOLATION, "Pong timeout")
                return
            payload = str(time.time_ns() // 1_000_000).encode()
            self._pings[payload] = None
            try:
                await self._socket.ping(payload)
            except ConnectionResetError:
                return

    async def _end_of_life(self) -> None:
        notice = min(self._limits.shutdown_notice, self._limits.lifetime / 2)
        await asyncio.sleep(self._limits.lifetime - notice)
        await self.announce_shutdown(notice)
