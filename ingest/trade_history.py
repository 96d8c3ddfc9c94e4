"""Trades that no connection delivered, from the exchange's REST endpoint."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ingest.events import Trade
from ingest.holdback import MAXIMUM_WAIT_S
from ingest.pacing import LogLimit
from ingest.rest import RestClient, RestError
from tickfence.instrument import Instrument

logger = logging.getLogger(__name__)

CONCURRENCY = 8
"""A request takes a tenth of a second or so, and after a lost connection every symbol may have one."""

Deliver = Callable[[Instrument, Sequence[Trade]], None]
"""Takes one page of a symbol's trades in the order of their ids; no trades after the last page."""


class _Wanted(NamedTuple):
    symbol: Instrument
    first_id: int
    end_id: int
    deadline: float


class TradeHistory:
    """Loads the trades that are asked for, as long as somebody still waits for them.

    Args:
        client: sends the requests, within the weight limit.
        page_trades: how many trades one request may ask for; 0 if the exchange gives none.
        patience_s: how long an answer is waited for.
    """

    def __init__(self, client: RestClient, page_trades: int, patience_s: float = MAXIMUM_WAIT_S) -> None:
        self._client = client
        self._page_trades = page_trades
        self._patience_s = patience_s
        self._queue: asyncio.Queue[_Wanted] = asyncio.Queue()
        self._logs = LogLimit()

    def want(self, symbol: Instrument, first_id: int, count: int) -> bool:
        """Load ``count`` trades from ``first_id`` on; return False if the exchange gives none."""
        if self._page_trades:
            self._queue.put_nowait(_Wanted(symbol, first_id, first_id + count, time.monotonic() + self._patience_s))
        return self._page_trades > 0

    async def run(self, deliver: Deliver) -> None:
        """Work until cancelled. ``deliver`` gets the answer to each question, perhaps not all of the trades.

        It gets each page when it comes, the newest first: that is of use though the next may come too late.
        """
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(self._work(deliver))

    async def _work(self, deliver: Deliver) -> None:
        while True:
            wanted = await self._queue.get()
            left_s = wanted.deadline - time.monotonic()
            try:
                if left_s > 0:
                    async with asyncio.timeout(left_s):
                        await self._load(wanted, deliver)
            except (RestError, TimeoutError) as error:
                if (held_back := self._logs.allows("trades")) is not None:
                    extra = {"symbol": wanted.symbol, "error": str(error) or "too late", "held_back": held_back}
                    logger.warning("missing trades could not be loaded", extra=extra)
            deliver(wanted.symbol, ())

    async def _load(self, wanted: _Wanted, deliver: Deliver) -> None:
        end = wanted.end_id
        while end > wanted.first_id:
            first_id = max(wanted.first_id, end - self._page_trades)
            page = await self._client.trades(wanted.symbol, first_id, end - first_id)
            deliver(wanted.symbol, page)
            if len(page) < end - first_id:
                break
            end = first_id
