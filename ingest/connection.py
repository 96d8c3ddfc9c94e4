"""One WebSocket connection to the exchange."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import aiohttp

from ingest.events import ControlReply
from ingest.pacing import Allowance, LogLimit
from ingest.proxy import TRANSPORT_ERRORS
from ingest.refused_streams import RefusedStreams
from ingest.silence import Silence
from ingest.url_length import leading
from ingest.venue import Venue
from tickfence.monitoring import ingest_metrics as metrics

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
URL_STREAMS = 150
"""Streams named in the URL at most. The others are subscribed to by message."""
MESSAGE_STREAMS = 198
"""Streams that one request adds or takes at most."""
REQUESTS_REMEMBERED = 1_000
CONTROL_SHARE = 0.9
"""Share of the control messages that the exchange allows in an hour: its clock and the network differ."""
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

    What is wanted may change while it runs. The streams of a symbol stay together: all in the URL, or all in one request.
    A subscription that the exchange refuses without saying which symbol it means is sent again in two halves, until it is
    known: the others do not go without.

    It answers pings itself, because a ping shows that the connection lives.

    Args:
        session: of aiohttp.
        venue: its URL, its messages, and how it shows that it lives.
        base_url: of the exchange's WebSocket endpoint.
        wanted: the streams to receive, each with its symbol, those of a symbol together; a shared one has the symbol "".
            Call `change` after each change of it.
        on_message: called with each message.
        on_open: called once all subscriptions were sent, also after each change.
        silence: of the address; learns of a refused handshake.
        silence_s: a connection on which nothing comes for this long, not even a ping, is dead; by default the venue's.
        in_url: how many streams the URL may name. The others are subscribed to by message.

    Attributes:
        opened_at: when it was opened, in monotonic seconds; ``None`` before.
        subscribed: set once the first subscriptions were all sent.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        venue: Venue,
        base_url: str,
        wanted: Mapping[str, str],
        *,
        on_message: OnMessage,
        on_open: OnOpen,
        silence: Silence,
        silence_s: float | None = None,
        in_url: int = URL_STREAMS,
    ) -> None:
        self._session = session
        self._venue = venue
        self._base_url = base_url
        self._wanted = wanted
        self._on_message = on_message
        self._on_open = on_open
        self._silence = silence
        self._silence_s = venue.keep_alive.silence_s if silence_s is None else silence_s
        self._in_url = in_url if venue.names_in_url else 0
        self._carried: set[str] = set()
        self._renewed: set[str] = set()
        self._requests: dict[int, Sequence[str]] = {}  # subscriptions that are not answered yet
        self._last_request = 0
        self._halves: deque[Sequence[str]] = deque()
        self._refused = RefusedStreams()
        self._controls = Allowance(CONTROL_SHARE * venue.limits.control_messages_per_hour, 3600.0)
        self._logs = LogLimit()
        self._changed = asyncio.Event()
        self._heard_at = 0.0
        self.opened_at: float | None = None
        self.subscribed = asyncio.Event()

    def change(self) -> None:
        """Subscribe to what is wanted now, and to nothing else."""
        self._changed.set()

    def renew(self, stream: str) -> None:
        """Take a stream from the connection and subscribe to it again, if it is carried."""
        if stream in self._carried:
            self._renewed.add(stream)
            self._changed.set()

    def on_reply(self, reply: ControlReply) -> None:
        """Take the answer to a control message of this connection."""
        streams = reply.streams or self._requests.pop(reply.request_id or 0, ())
        if reply.error is None:
            return
        middle = self._whole(streams, len(streams) // 2) or self._whole(streams, len(streams) - 1)
        if middle > 0 and not reply.streams:
            self._halves += (streams[:middle], streams[middle:])
        else:
            self._refuse(streams, reply.error)
        self._carried.difference_update(streams)
        self._changed.set()

    def _refuse(self, streams: Sequence[str], error: str) -> None:
        """Leave out these streams for a while. Several answers may refuse one symbol; the first one is told."""
        known = {self._wanted.get(stream) for stream in self._refused}
        again_s = self._refused.add(streams)
        if not streams or any(self._wanted.get(stream) not in known for stream in streams):
            metrics.subscriptions_refused.labels(self._venue.name).inc()
            extra = {"streams": list(streams), "error": error, "retry_s": round(again_s, 3)}
            logger.error("the exchange refused a subscription", extra={"venue": self._venue.name} | extra)

    def _whole(self, streams: Sequence[str], most: int) -> int:
        """How many of the first streams to take, ``most`` at most: no symbol is split."""
        if len(streams) <= most:
            return len(streams)
        symbol_of = self._wanted.get
        while most > 0 and symbol_of(streams[most]) == symbol_of(streams[most - 1]):
            most -= 1
        return most

    async def run(self) -> None:
        """Open the connection, subscribe, and read until it ends.

        Raises:
            ConnectionEnded: always, unless cancelled.
        """
        wanted = list(self._wanted)
        named = wanted[: self._whole(wanted, leading(wanted, self._in_url))]
        url = self._venue.url(self._base_url, named)
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
        metrics.ws_connections.labels(self._venue.name).inc()
        subscriber = asyncio.create_task(self._subscribe(socket))
        watchdog = asyncio.create_task(self._watch(socket))
        try:
            await self._read(socket)
        finally:
            metrics.ws_connections.labels(self._venue.name).dec()
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
                await self._send(socket, *request)
            self.subscribed.set()
            self._on_open(self)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._refused.left_s)

    def _next_request(self) -> tuple[bool, Sequence[str]] | None:
        """The next streams to subscribe to (True) or to take from the connection (False); ``None`` if none are due."""
        surplus = [stream for stream in self._carried if stream not in self._wanted or stream in self._renewed]
        if surplus:
            return False, surplus[:MESSAGE_STREAMS]
        while self._halves:
            half = [stream for stream in self._halves.popleft() if stream in self._wanted]
            if half:
                return True, half
        self._refused.keep(self._wanted.keys())
        missing = [stream for stream in self._wanted if stream not in self._carried]
        due = [stream for stream in missing if stream not in self._refused]
        if not due and self._refused.due:  # apart from the others, so that they hold up none
            due = missing
            self._refused.clear()
        due = due[: self._whole(due, MESSAGE_STREAMS)]
        return (True, due) if due else None

    async def _send(self, socket: aiohttp.ClientWebSocketResponse[bool], add: bool, streams: Sequence[str]) -> None:
        for text, about in self._venue.requests(add, streams, self._last_request + 1):
            wait_s = self._controls.wait_s(1)
            if wait_s > 0 and (held_back := self._logs.allows("controls")) is not None:
                extra = {"venue": self._venue.name, "wait_s": round(wait_s, 3), "held_back": held_back}
                logger.warning("the exchange allows no more control messages on a connection for now", extra=extra)
            await asyncio.sleep(max(wait_s, 1 / self._venue.limits.control_messages_per_s))
            self._controls.spend(1)
            self._last_request += 1
            if add:
                self._requests[self._last_request] = about
                self._requests.pop(self._last_request - REQUESTS_REMEMBERED, None)
                self._carried.update(about)
            else:
                self._carried.difference_update(about)
                self._renewed.difference_update(about)
            await socket.send_str(text)

    async def _watch(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        """Ping where the venue wants it, and close the connection when it is dead."""
        ping, ping_after_s, _ = self._venue.keep_alive
        pinged_at = 0.0
        while (left_s := self._heard_at + self._silence_s - time.monotonic()) > 0:
            if ping is not None:
                ping_in_s = max(self._heard_at, pinged_at) + ping_after_s - time.monotonic()
                if ping_in_s <= 0:
                    pinged_at = time.monotonic()
                    await socket.send_str(ping)
                    continue
                left_s = min(left_s, ping_in_s)
            await asyncio.sleep(left_s)
        silence = {"venue": self._venue.name, "silence_s": self._silence_s}
        logger.warning("the exchange went silent, closing the connection", extra=silence)
        await socket.close()
