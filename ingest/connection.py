"""One WebSocket connection to the exchange."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

import aiohttp

from ingest.events import ControlReply
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
REFUSED_AGAIN_S = 60.0
"""A symbol whose subscription was refused is subscribed to again after this long."""
MAX_MESSAGE = 32 * 1024 * 1024
"""Bytes of one message. A larger one ends the connection; `intake` refuses much smaller ones."""

OnMessage = Callable[["Connection", bytes], None]
OnOpen = Callable[["Connection"], None]


class ConnectionEnded(Exception):
    """The connection has ended. The text says why.

    Attributes:
        url_refused: whether the exchange refuses what the URL names.
    """

    def __init__(self, text: str, *, url_refused: bool = False) -> None:
        super().__init__(text)
        self.url_refused = url_refused


class Connection:
    """Receives the streams that are wanted until it ends.

    What is wanted may change while it runs. A subscription that the exchange refuses is sent again in two halves, until
    it is known which symbol is refused: the others do not go without.

    It answers pings itself, because a ping shows that the connection lives.

    Args:
        session: of aiohttp.
        exchange: names its URL and its messages.
        base_url: of the exchange's WebSocket endpoint.
        wanted: the streams to receive, those of a symbol together. Call `change` after each change of it.
        on_message: called with each message.
        on_open: called once all subscriptions were sent, also after each change.
        silence: of the address; learns of a refused handshake.
        silence_s: a connection on which nothing comes for this long, not even a ping, is dead.
        in_url: how many streams the URL may name. The others are subscribed to by message.

    Attributes:
        opened_at: when it was opened, in monotonic seconds; ``None`` before.
        subscribed: set once the first subscriptions were all sent.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        exchange: Exchange,
        base_url: str,
        wanted: Collection[str],
        *,
        on_message: OnMessage,
        on_open: OnOpen,
        silence: Silence,
        silence_s: float = SILENCE_S,
        in_url: int = URL_STREAMS,
    ) -> None:
        self._session = session
        self._exchange = exchange
        self._base_url = base_url
        self._wanted = wanted
        self._on_message = on_message
        self._on_open = on_open
        self._silence = silence
        self._silence_s = silence_s
        self._in_url = in_url
        self._carried: set[str] = set()
        self._requests: dict[int, Sequence[str]] = {}  # subscriptions that are not answered yet
        self._last_request = 0
        self._halves: deque[Sequence[str]] = deque()
        self._refused: dict[str, float] = {}  # when to subscribe again, monotonic seconds
        self._changed = asyncio.Event()
        self._heard_at = 0.0
        self.opened_at: float | None = None
        self.subscribed = asyncio.Event()

    def change(self) -> None:
        """Subscribe to what is wanted now, and to nothing else."""
        self._changed.set()

    def on_reply(self, reply: ControlReply) -> None:
        """Take the answer to a control message of this connection."""
        streams = self._requests.pop(reply.request_id or 0, ())
        if reply.error is None:
            return
        if len(streams) > STREAMS_OF_A_SYMBOL:
            middle = len(streams) // STREAMS_OF_A_SYMBOL // 2 * STREAMS_OF_A_SYMBOL
            self._halves += (streams[:middle], streams[middle:])
        else:
            metrics.subscriptions_refused.inc()
            extra = {"streams": list(streams), "error": reply.error, "retry_s": REFUSED_AGAIN_S}
            logger.error("the exchange refused a subscription", extra=extra)
            self._refused |= dict.fromkeys(streams, time.monotonic() + REFUSED_AGAIN_S)
        self._carried.difference_update(streams)
        self._changed.set()

    async def run(self) -> None:
        """Open the connection, subscribe, and read until it ends.

        Raises:
            ConnectionEnded: always, unless cancelled.
        """
        wanted = list(self._wanted)
        fitting = leading(wanted, self._in_url)
        named = wanted[: fitting - fitting % STREAMS_OF_A_SYMBOL]
        url = self._exchange.url(self._base_url, named)
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
            refused = f"the handshake was refused: HTTP {error.status}"
            raise ConnectionEnded(refused, url_refused=bool(named) and error.status == 400) from error
        except TRANSPORT_ERRORS as error:
            raise ConnectionEnded(f"cannot connect: {type(error).__name__} {error}") from error
        self.opened_at = self._heard_at = time.monotonic()
        self._silence.accepted()
        self._carried.update(named)
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
        """Bring what the connection carries to what is wanted, now and after each change."""
        while True:
            self._changed.clear()
            while (request := self._next_request()) is not None:
                await asyncio.sleep(1 / self._exchange.control_messages_per_s)
                await self._send(socket, *request)
            self.subscribed.set()
            self._on_open(self)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), REFUSED_AGAIN_S if self._refused else None)

    def _next_request(self) -> tuple[bool, Sequence[str]] | None:
        """The next streams to subscribe to (True) or to take from the connection (False); ``None`` if none are due."""
        surplus = [stream for stream in self._carried if stream not in self._wanted]
        if surplus:
            return False, surplus[:MESSAGE_STREAMS]
        while self._halves:
            half = [stream for stream in self._halves.popleft() if stream in self._wanted]
            if half:
                return True, half
        now = time.monotonic()
        missing = (stream for stream in self._wanted if stream not in self._carried)
        due = [stream for stream in missing if self._refused.get(stream, now) <= now]
        # One that was refused goes alone, so that it holds up no other.
        again = [stream for stream in due if stream in self._refused]
        due = again[:STREAMS_OF_A_SYMBOL] or due[:MESSAGE_STREAMS]
        return (True, due) if due else None

    async def _send(self, socket: aiohttp.ClientWebSocketResponse[bool], add: bool, streams: Sequence[str]) -> None:
        self._last_request += 1
        if add:
            self._requests[self._last_request] = streams
            self._carried.update(streams)
            text = self._exchange.subscribe(streams, self._last_request)
        else:
            self._carried.difference_update(streams)
            text = self._exchange.unsubscribe(streams, self._last_request)
        await socket.send_str(text)

    async def _watch(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        while True:
            left_s = self._heard_at + self._silence_s - time.monotonic()
            if left_s <= 0:
                break
            await asyncio.sleep(left_s)
        logger.warning("the exchange went silent, closing the connection", extra={"silence_s": self._silence_s})
        await socket.close()
