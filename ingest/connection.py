"""One WebSocket connection to the exchange."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

import aiohttp

from ingest.exchange import Exchange
from ingest.proxy import TRANSPORT_ERRORS
from ingest.silence import Silence
from ingest.url_length import leading
from tickfence.monitoring import ingest_metrics as metrics

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
SILENCE_S = 30.0
"""The exchange pings every 20 s, also where nothing is traded."""
URL_STREAMS = 150
"""Streams named in the URL at most. The others are subscribed to by message."""
STREAMS_OF_A_SYMBOL = 3
"""So many stay together: all in the URL, or all in one message."""
MESSAGE_STREAMS = 198
MAX_MESSAGE = 32 * 1024 * 1024
"""Bytes of one message. A larger one ends the connection; `intake` refuses much smaller ones."""

OnMessage = Callable[["Connection", bytes], None]
OnOpen = Callable[["Connection"], None]


class ConnectionEnded(Exception):
    """The connection has ended. The text says why."""


class Connection:
    """Receives ``streams`` until it ends.

    It answers pings itself, because a ping shows that the connection lives.

    Args:
        session: of aiohttp.
        exchange: names its URL and its messages.
        base_url: of the exchange's WebSocket endpoint.
        streams: what to subscribe to.
        on_message: called with each message.
        on_open: called once all subscriptions were sent.
        silence: of the address; learns of a refused handshake.
        silence_s: a connection on which nothing comes for this long, not even a ping, is dead.

    Attributes:
        opened_at: when it was opened, in monotonic seconds; ``None`` before.
        subscribed: set once all subscriptions were sent.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        exchange: Exchange,
        base_url: str,
        streams: Sequence[str],
        *,
        on_message: OnMessage,
        on_open: OnOpen,
        silence: Silence,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._session = session
        self._exchange = exchange
        self._base_url = base_url
        self._streams = streams
        self._on_message = on_message
        self._on_open = on_open
        self._silence = silence
        self._silence_s = silence_s
        fitting = leading(streams, URL_STREAMS)
        self._in_url = fitting - fitting % STREAMS_OF_A_SYMBOL
        self._heard_at = 0.0
        self.opened_at: float | None = None
        self.subscribed = asyncio.Event()

    async def run(self) -> None:
        """Open the connection, subscribe, and read until it ends.

        Raises:
            ConnectionEnded: always, unless cancelled.
        """
        url = self._exchange.url(self._base_url, self._streams[: self._in_url])
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                socket = await self._session.ws_connect(
                    url,
                    max_msg_size=MAX_MESSAGE,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
                    decode_text=False,
                    autoping=False,
                )
        except aiohttp.WSServerHandshakeError as error:
            self._silence.refused(error.status, error.headers or {})
            raise ConnectionEnded(f"the handshake was refused: HTTP {error.status}") from error
        except TRANSPORT_ERRORS as error:
            raise ConnectionEnded(f"cannot connect: {type(error).__name__} {error}") from error
        self.opened_at = self._heard_at = time.monotonic()
        self._silence.accepted()
        metrics.ws_connections.inc()
        subscriber = asyncio.create_task(self._subscribe(socket))
        watchdog = asyncio.create_task(self._watch(socket))
        try:
            await self._read(socket)
        finally:
            metrics.ws_connections.dec()
            subscriber.cancel()
            watchdog.cancel()
            await asyncio.gather(subscriber, watchdog, return_exceptions=True)
            await socket.close()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        receive, on_message = socket.receive, self._on_message
        text, binary = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY
        ping, pong = aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG
        clock = time.monotonic
        while True:
            message = await receive()
            kind = message.type
            if kind is text or kind is binary:
                self._heard_at = clock()
                on_message(self, message.data)
            elif kind is ping:
                self._heard_at = clock()
                await self._answer(socket, message.data)
            elif kind is pong:
                self._heard_at = clock()
            else:
                break
        if kind is aiohttp.WSMsgType.ERROR:
            raise ConnectionEnded(f"protocol error: {socket.exception()}")
        raise ConnectionEnded(f"closed, code {socket.close_code}")

    @staticmethod
    async def _answer(socket: aiohttp.ClientWebSocketResponse[bool], payload: bytes) -> None:
        """Answer a ping with a copy of its payload.

        Source: RFC 6455, section 5.5.3.
        """
        try:
            await socket.pong(payload)
        except aiohttp.ClientConnectionResetError as error:
            raise ConnectionEnded(f"cannot answer a ping: {error}") from error

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        rest = self._streams[self._in_url :]
        for number, start in enumerate(range(0, len(rest), MESSAGE_STREAMS)):
            await asyncio.sleep(1 / self._exchange.control_messages_per_s)
            await socket.send_str(self._exchange.subscribe(rest[start : start + MESSAGE_STREAMS], number + 1))
        self.subscribed.set()
        self._on_open(self)

    async def _watch(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        while True:
            left_s = self._heard_at + self._silence_s - time.monotonic()
            if left_s <= 0:
                break
            await asyncio.sleep(left_s)
        logger.warning("the exchange went silent, closing the connection", extra={"silence_s": self._silence_s})
        await socket.close()
