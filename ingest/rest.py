"""The exchange's REST endpoint: one queue for all requests, within the weight that the exchange allows."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import IntEnum

import aiohttp

from ingest.events import Depth, ExchangeInfo, Rejected, Trade
from ingest.pacing import Allowance, LogLimit
from ingest.proxy import TRANSPORT_ERRORS
from ingest.silence import Silence
from ingest.venue import Request, Venue
from tickfence.instrument import Instrument
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.redis_access.outage import Backoff

logger = logging.getLogger(__name__)

TIMEOUT_S = 5.0
CONCURRENCY = 4
MAX_BODY = 64 * 1024 * 1024
MAX_CHUNK = 256 * 1024

START_SHARE = 0.8
"""Share of the weight that the first load of a book may use, so that books with a gap do not wait behind them."""
GAP_SHARE = 0.95
INFO_ALONE_SHARE = 0.7
"""The books come before symbols that have to be asked for one by one."""
TRADES_SHARE = 0.6
"""Of trades that are missing: books come first."""


class Priority(IntEnum):
    """Which order book is loaded first."""

    GAP = 0
    """It is lost, or knows too few levels for a report."""
    START = 1
    REFRESH = 2
    """Its market comes near the deepest levels that are known."""
    AUDIT = 3

    @property
    def share(self) -> float:
        """Share of the weight up to which such a request is sent."""
        return _SHARES[self]


_SHARES = {Priority.GAP: GAP_SHARE, Priority.START: START_SHARE, Priority.REFRESH: START_SHARE, Priority.AUDIT: 0.6}


class RestError(Exception):
    """A request has failed. The text says why.

    Attributes:
        final: whether the exchange refused what was asked for, so that the same request will fail again.
    """

    def __init__(self, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.final = final


class BadAnswer(RestError):
    """The exchange has answered, but not as documented."""


class RestClient:
    """Sends requests within the weight limit, and none while the exchange wants silence.

    Args:
        session: of aiohttp.
        base_url: of the exchange's REST endpoint.
        venue: its requests, and the decoders of their answers.
        silence: of the address.
    """

    def __init__(self, session: aiohttp.ClientSession, base_url: str, venue: Venue, silence: Silence) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._venue = venue
        self._weight_span_s = venue.limits.request_weight[1]
        self._weight = Allowance(*venue.limits.request_weight)
        self._silence = silence

    async def depth(self, symbol: Instrument, priority: Priority) -> Depth:
        """Load the order book of ``symbol``.

        Raises:
            RestError: there is no usable answer.
        """
        body = await self._get(self._venue.depth_request(symbol), priority.share)
        try:
            return self._venue.decode_depth(body)
        except Rejected as error:
            metrics.rejected.labels(self._venue.name, error.reason).inc()
            raise RestError(f"{symbol}: {error}") from None

    async def trades(self, symbol: Instrument, first_id: int, count: int) -> list[Trade]:
        """Load trades of the past, in the order of their ids.

        Args:
            symbol: whose trades.
            first_id: of the first one.
            count: how many, one page at most.

        Raises:
            RestError: there is no usable answer.
        """
        body = await self._get(self._venue.trades_request(symbol, first_id, count), TRADES_SHARE)
        try:
            return self._venue.decode_trades(symbol, body)
        except Rejected as error:
            metrics.rejected.labels(self._venue.name, error.reason).inc()
            raise RestError(f"{symbol}: {error}") from None

    def depth_wait_s(self, symbol: Instrument, priority: Priority) -> float:
        """Seconds until the order book of ``symbol`` may be asked for; 0 if now."""
        return self._wait_s(self._venue.depth_request(symbol).weight, priority.share)

    def depth_interval_s(self, symbol: Instrument) -> float:
        """Seconds between two requests for this order book that would use the whole weight."""
        return self._weight_span_s * self._venue.depth_request(symbol).weight / self._weight.limit

    async def info(self, symbols: Sequence[Instrument]) -> ExchangeInfo:
        """Load the rules of ``symbols``, and keep to the weight limit that the answer names from now on.

        Where they come by stream, the answer is empty.

        Raises:
            BadAnswer: the answer is not usable.
            RestError: there is no answer. It is ``final`` if the exchange does not list one of them.
        """
        share = INFO_ALONE_SHARE if len(symbols) == 1 else GAP_SHARE
        request = self._venue.info_request(symbols)
        if request is None:
            return ExchangeInfo({})
        body = await self._get(request, share)
        try:
            info = self._venue.decode_info(body)
        except Rejected as error:
            metrics.rejected.labels(self._venue.name, error.reason).inc()
            raise BadAnswer(str(error)) from None
        if info.request_weight:
            self._weight.limit = info.request_weight
        return info

    async def _get(self, request: Request, share: float) -> bytes:
        await self._allowed(request.weight, share)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self._session.get(
                self._base_url + request.path, params=request.query, timeout=timeout
            ) as response:
                body = await _read(response)
                metrics.rest_requests.labels(self._venue.name, str(response.status)).inc()
                if (used := response.headers.get(self._venue.limits.used_weight_header, "")).isdecimal():
                    self._weight.observe(float(used))
                if response.status == 200:
                    self._silence.accepted()
                    return body
                self._silence.refused(response.status, response.headers)
                final = self._venue.refuses_symbol(response.status, body)
                raise RestError(f"{request.path} {request.query}: HTTP {response.status} {body[:200]!r}", final=final)
        except TRANSPORT_ERRORS as error:
            metrics.rest_requests.labels(self._venue.name, type(error).__name__).inc()
            raise RestError(f"{request.path} {request.query}: {type(error).__name__} {error}") from error

    async def _allowed(self, weight: int, share: float) -> None:
        while True:
            wait_s = self._wait_s(weight, share)
            if wait_s <= 0:
                break
            await asyncio.sleep(wait_s)
        self._weight.spend(weight)

    def _wait_s(self, weight: int, share: float) -> float:
        return max(self._silence.left_s(), self._weight.wait_s(weight, share=share))


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body.

    Raises:
        RestError: it is larger than ``MAX_BODY``.
    """
    body = bytearray()
    async for chunk in response.content.iter_chunked(MAX_CHUNK):
        body += chunk
        if len(body) > MAX_BODY:
            raise RestError(f"{response.url}: more than {MAX_BODY} bytes")
    return bytes(body)


Deliver = Callable[[Instrument, Depth | None], bool]
"""Takes a symbol's book, or None if it could not be loaded; returns False if one is still needed."""


class DepthQueue:
    """Loads order books, the most urgent first, a few at a time. It tries failed requests again while they are needed.

    A book waits for the weight in the queue, where a more urgent one can pass it.
    """

    FIRST_RETRY_S, MAXIMUM_RETRY_S, FINAL_RETRY_S = 0.2, 10.0, 60.0

    def __init__(self, client: RestClient) -> None:
        self._client = client
        self._queue: list[tuple[Priority, int, Instrument]] = []
        self._order = itertools.count()
        self._wanted: dict[Instrument, Priority] = {}
        self._queued: set[Instrument] = set()
        self._backoffs: dict[Instrument, Backoff] = {}
        self._changed = asyncio.Event()
        self._logs = LogLimit()

    def want(self, symbol: Instrument, priority: Priority) -> None:
        """Load a symbol's book, unless it is being loaded already. A higher priority replaces a lower one."""
        known = self._wanted.get(symbol)
        if known is None or priority < known:
            self._wanted[symbol] = priority
            if known is None or symbol in self._queued:
                self._push(symbol)

    async def run(self, deliver: Deliver) -> None:
        """Work until cancelled. As long as ``deliver`` returns False, the book is loaded again."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(self._work(deliver))

    async def _work(self, deliver: Deliver) -> None:
        while True:
            symbol = await self._next()
            retry_s = await self._fetch(symbol, deliver)
            if retry_s is None:
                del self._wanted[symbol]
                self._backoffs.pop(symbol, None)
            else:
                asyncio.get_running_loop().call_later(retry_s, self._push, symbol)

    async def _next(self) -> Instrument:
        """The most urgent book that is queued, once there is weight for it."""
        while True:
            wait_s = None
            if self._queue:
                priority, _, symbol = self._queue[0]
                stale = symbol not in self._queued or priority != self._wanted[symbol]
                wait_s = 0.0 if stale else self._client.depth_wait_s(symbol, priority)
                if wait_s <= 0:
                    heapq.heappop(self._queue)
                    if stale:
                        continue
                    self._queued.remove(symbol)
                    return symbol
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)

    async def _fetch(self, symbol: Instrument, deliver: Deliver) -> float | None:
        """Load one book; return the seconds to wait before trying again, or ``None`` if none is needed any more."""
        backoff = self._backoffs.setdefault(symbol, Backoff(base=self.FIRST_RETRY_S, cap=self.MAXIMUM_RETRY_S))
        depth, final = None, False
        try:
            depth = await self._client.depth(symbol, self._wanted[symbol])
        except RestError as error:
            if (held_back := self._logs.allows("depth")) is not None:
                logger.warning("no order book", extra={"symbol": symbol, "error": str(error), "held_back": held_back})
            final = error.final
        if deliver(symbol, depth):
            return None
        return self.FINAL_RETRY_S if final else backoff.next_s()

    def _push(self, symbol: Instrument) -> None:
        self._queued.add(symbol)
        heapq.heappush(self._queue, (self._wanted[symbol], next(self._order), symbol))
        self._changed.set()
