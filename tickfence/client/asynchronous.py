"""The client for asyncio programs. It asks and answers what `Client` does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import httpx2

from tickfence.client.connection import TIMEOUT_S, answer, failed, options, stream_refusal, stream_timeout
from tickfence.client.errors import ClientError, Unreachable
from tickfence.client.exchange import Exchange
from tickfence.client.following import PATIENCE_S, Following, Lost
from tickfence.client.freshness import MAX_AGE_S
from tickfence.client.history import History
from tickfence.client.queries import MAX_ROWS, Events, Queries, Reports, Time
from tickfence.readers.reports import FreshReport
from tickfence.web.nodes import Nodes

T = TypeVar("T")


class AsyncClient:
    """Reads one deployment through its HTTP API. Close it, or use it in an ``async with`` statement.

    Tasks of one event loop may share a client. Every call raises a `ClientError` if it has no result.

    Args:
        url: Where ``tickfence web`` answers, like ``http://localhost:8000``.
        token: The server's token, if it has one.
        max_age: How old the market data of a report may be, in seconds. Older reports raise `StaleReport`. ``None``: you
            get reports of any age, and those that the server calls stale; look at their ``freshness``.
        timeout: Seconds that a connection, or the next part of an answer, may take.
        transport: Your own way to the server, with a proxy or certificates, for example `httpx2.AsyncHTTPTransport`.

    Example:
        >>> async with AsyncClient("http://localhost:8000") as client:  # doctest: +SKIP
        ...     report = await client.report("BTCUSDT")
        ...     print(report.mid_price, report.freshness.data_age_ms)
    """

    def __init__(
        self,
        url: str = "http://localhost:8000",
        *,
        token: str | None = None,
        max_age: float | None = MAX_AGE_S,
        timeout: float = TIMEOUT_S,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx2.AsyncClient(**options(url, token, timeout), transport=transport)
        self._queries = Queries(max_age)
        self._stream_timeout = stream_timeout(timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def report(self, symbol: str) -> FreshReport:
        """Return one symbol's report. A field without enough data is `msgspec.UNSET`.

        Raises:
            StaleReport: It is too old to act on.
            NoReport: The symbol has no report now.
            UnknownSymbol: There is no such symbol.
        """
        return await self._run(self._queries.report(symbol))

    async def reports(self, symbols: str | Iterable[str] | None = None) -> Reports:
        """Return the reports of one symbol, of several or of all: those that you can act on, and why there is none of the others.

        Raises:
            UnknownSymbol: There is no such symbol.
        """
        return await self._run(self._queries.reports(symbols))

    async def symbols(self) -> list[str]:
        """Return the names of all symbols."""
        return await self._run(self._queries.symbols())

    async def nodes(self) -> Nodes:
        """Return the nodes, and the beat that leads."""
        return await self._run(self._queries.nodes())

    async def events(
        self, since: Time | None = None, until: Time | None = None, *, after: str | None = None, limit: int = 200
    ) -> Events:
        """Return events of the cluster: the newest, or with a range or ``after`` the oldest of those.

        Args:
            since: The beginning of the range, inclusive.
            until: Its end, exclusive.
            after: An event's id: only later events.
            limit: How many at most, up to 1,000.
        """
        return await self._run(self._queries.events(since, until, after, limit))

    async def history(
        self,
        symbol: str,
        since: Time = "-15m",
        until: Time = "now",
        *,
        step: str | None = None,
        fields: Sequence[str] = (),
        max_rows: int = MAX_ROWS,
    ) -> History:
        """Return what the reports of one symbol said over time, as arrays.

        Args:
            symbol: Whose reports.
            since: The beginning of the range, inclusive.
            until: Its end, exclusive.
            step: Only the last row of each step, like ``10s``.
            fields: Columns beside ``time_ms``; without it all.
            max_rows: How many rows at most: the oldest.
        """
        return await self._run(self._queries.history(symbol, since, until, step, fields, max_rows))

    def stream(
        self, symbols: str | Iterable[str], *, patience: float = PATIENCE_S
    ) -> AsyncIterator[FreshReport | Lost]:
        """Yield each new report of ``symbols``, and a `Lost` whenever there is none that you can act on.

        The stream opens its connection again when it breaks, after waits of 0.25 to 10 seconds, and goes on with the
        newest reports. What was written meanwhile is skipped. To leave the loop early and close the connection at once, use
        `contextlib.aclosing`.

        Args:
            symbols: One symbol or several, up to 100.
            patience: After how many seconds without a connection it gives up.

        Raises:
            UnknownSymbol: There is no such symbol.
            ClientError: The server refuses, or did not come back in time.
        """
        following = Following(symbols, self._queries.max_age_s, patience)
        return self._stream(following)

    async def _stream(self, following: Following) -> AsyncIterator[FreshReport | Lost]:
        while True:
            request = following.request()
            try:
                async with self._http.sse(
                    request.target, headers=request.headers, timeout=self._stream_timeout
                ) as source:
                    if source.response.is_error:
                        await source.response.aread()
                        raise stream_refusal(source.response)
                    async for event in source:
                        for told in following.event(event.event, event.data, time.monotonic()):
                            yield told
                error: ClientError = Unreachable("the server ended the stream")
            except (httpx2.HTTPError, httpx2.InvalidURL) as caught:
                error = failed(caught)
            except ClientError as caught:
                error = caught
            lost, wait_s = following.broke(error, time.monotonic())
            for told in lost:
                yield told
            await asyncio.sleep(wait_s)

    async def _run(self, exchange: Exchange[T]) -> T:
        try:
            request = next(exchange)
            while True:
                sent_at = time.monotonic()
                response = await self._http.get(request.target, headers=request.headers)
                request = exchange.send(answer(response, sent_at, time.monotonic()))
        except StopIteration as end:
            result: T = end.value
            return result
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise failed(error) from error
