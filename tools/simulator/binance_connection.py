"""A WebSocket connection that speaks Binance's dialect: its control messages, pings and limits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType

from tools.simulator import control, protocol
from tools.simulator.connection import Connection, Limits
from tools.simulator.hub import Hub

logger = logging.getLogger(__name__)


class BinanceConnection(Connection):
    """A connection to a combined stream, or to a raw one."""

    venue = "binance"

    def __init__(self, hub: Hub, limits: Limits, *, combined: bool) -> None:
        super().__init__(hub, limits, combined=combined)
        self._control_times: deque[float] = deque()
        self._pings: dict[bytes, None] = {}
        self._last_pong = 0.0

    def background(self) -> list[Coroutine[Any, Any, None]]:
        """As Connection.background()."""
        return [self._keep_alive(), self._end_of_life()]

    def shutdown_message(self) -> bytes:
        """As Connection.shutdown_message()."""
        return protocol.server_shutdown(time.time_ns() // 1_000_000)

    async def on_message(self, message: WSMessage) -> None:
        """As Connection.on_message()."""
        if self._too_many_messages():
            logger.warning("disconnecting a subscriber that sends too many messages per second")
            self.begin_close(WSCloseCode.POLICY_VIOLATION, "Too many requests")
        elif message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
        elif message.type is WSMsgType.PONG:
            self._take_pong(bytes(message.data))
        else:
            self._control(message.data)

    def subscribe(self, names: Sequence[str]) -> None:
        """As Connection.subscribe(), within the limit of streams."""
        wanted = self.streams | dict.fromkeys(names)
        if len(wanted) > protocol.MAX_STREAMS:
            logger.warning("disconnecting a subscriber that wants %d streams", len(wanted))
            self.begin_close(WSCloseCode.POLICY_VIOLATION, f"more than {protocol.MAX_STREAMS} streams")
            return
        super().subscribe(names)

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
            self.send(error.reply())
            return
        result: object = None
        match request.method:
            case "SUBSCRIBE":
                self.subscribe(request.params)
            case "UNSUBSCRIBE":
                self.unsubscribe(request.params)
            case "LIST_SUBSCRIPTIONS":
                result = list(self.streams)
            case "SET_PROPERTY":
                self.combined = request.params[1]
            case "GET_PROPERTY":
                result = self.combined
        self.send(control.reply(request.request_id, result))

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
