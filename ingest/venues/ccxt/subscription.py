"""One symbol of one exchange, read through ccxt: its trades, its order book, its ticker."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ingest.events import Event, Refused, Rejected
from ingest.pacing import LogLimit
from ingest.venue import Sink
from ingest.venues.ccxt.book import ComparedBook
from ingest.venues.ccxt.values import NewTrades, ticker
from tickfence.instrument import Instrument
from tickfence.redis_access.outage import Backoff

logger = logging.getLogger(__name__)

FIRST_RETRY_S, MAXIMUM_RETRY_S = 1.0, 60.0
STABLE_S = 30.0
"""After a subscription that lived this long, the wait before the next is short again."""
FIRST_BOOK_S = 300.0
"""How long a book may take: some exchanges' need several changes first, and at a quiet market they come seldom."""
TICKER_EVERY_S = 20.0
"""Time between two questions for a ticker that does not come by itself. Reports use none that is older than a minute."""
UNSUBSCRIBE_S = 10.0


class Renew(Exception):
    """The book is to be subscribed to again."""


class Abandoned(Exception):
    """ccxt has cancelled what it was asked for."""


async def answer(asked: Awaitable[Any]) -> Any:
    """What ccxt answers.

    ccxt shares what it waits for, and cancels it. That must not look as if the task that asked were cancelled: it would end
    without a word.

    Raises:
        Abandoned: ccxt has cancelled it.
    """
    try:
        return await asked
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        raise Abandoned("ccxt has cancelled what it was asked for") from None


class Subscription:
    """Keeps one symbol subscribed.

    Trades and book are one: where one fails, both are lost and begin again, trades first. So a book in sync tells that trades
    are received as well. The ticker is apart.

    Args:
        instrument: the symbol's name here.
        symbol: its name in ccxt.
        exchange: ccxt's object, whose markets are loaded.
        sink: gets what is read.
        now_ms: the Redis server's time.
        logs: of the exchange: what happens to many of its symbols is told once.

    Attributes:
        stopped: whether it gives nothing any more.
    """

    def __init__(
        self,
        instrument: Instrument,
        symbol: str,
        exchange: Any,
        sink: Sink,
        now_ms: Callable[[], int],
        logs: LogLimit,
    ) -> None:
        self._instrument, self._symbol = instrument, symbol
        self._exchange = exchange
        self._sink = sink
        self._now_ms = now_ms
        self._compared = ComparedBook(instrument)
        self._trades = NewTrades(instrument)
        self._shown: Any = None  # ccxt's book: it changes by itself
        self._renew = asyncio.Event()
        self.stopped = False
        self._logs = logs

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep())
            if self._exchange.has.get("watchTicker") is True or self._exchange.has.get("fetchTicker") is True:
                group.create_task(self._keep_ticker())

    def stop(self) -> None:
        """Give nothing any more. `run` is to be cancelled, and may take a moment to end."""
        self.stopped = True

    def renew(self, *, lost: bool) -> None:
        """Give a snapshot of the book: of the one that ccxt has, if that is of use, else of a new subscription.

        Args:
            lost: whether the book is wrong.
        """
        if self._shown is None:
            return  # one is on its way
        can_leave = self._exchange.has.get("unWatchOrderBook") is True
        if lost and can_leave:
            self._renew.set()
            return
        try:
            snapshot, enough = self._compared.again(self._shown, self._now_ms())
        except Rejected as error:
            self._give([Refused(error)])
            return
        self._give([snapshot])
        if not enough and can_leave:
            self._renew.set()

    async def leave(self) -> None:
        """Unsubscribe, as far as ccxt can. Call it when `run` has ended."""
        for what, has in (("order_book", "OrderBook"), ("trades", "Trades"), ("ticker", "Ticker")):
            if self._exchange.has.get(f"unWatch{has}") is True and self._exchange.has.get(f"watch{has}") is True:
                await self._unwatch(f"un_watch_{what}")

    async def _keep(self) -> None:
        backoff = Backoff(base=FIRST_RETRY_S, cap=MAXIMUM_RETRY_S)
        while True:
            started = time.monotonic()
            self._shown = None
            self._renew.clear()
            try:
                await self._read()
            except* Renew:
                self._lose(trades=False)
                await self._unwatch("un_watch_order_book")
            except* Exception as errors:  # noqa: BLE001 - ccxt's code of a hundred exchanges raises anything
                if time.monotonic() - started >= STABLE_S:
                    backoff.reset()
                wait_s = backoff.next_s()
                self._say("a subscription has ended", errors.exceptions[0], wait_s)
                self._shown = None
                self._lose(trades=True)
                await asyncio.sleep(wait_s)

    async def _read(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_trades())
            group.create_task(self._read_book())
            group.create_task(self._until_renewed())

    async def _read_trades(self) -> None:
        since_ms = self._now_ms()
        first = True
        while True:
            found = await answer(self._exchange.watch_trades(self._symbol))
            if first:  # only now it is known that trades come
                self._lose(trades=True, book=False)
            self._give(self._trades.take(found, since_ms if first else 0))
            first = False

    async def _read_book(self) -> None:
        async with asyncio.timeout(FIRST_BOOK_S):
            shown = await answer(self._exchange.watch_order_book(self._symbol))
        self._pass_on(lambda: self._compared.first(shown, self._now_ms()))
        self._shown = shown
        while True:
            shown = await answer(self._exchange.watch_order_book(self._symbol))
            self._shown = shown
            self._pass_on(lambda: self._compared.next(self._shown, self._now_ms()))

    def _pass_on(self, compare: Callable[[], Event | None]) -> None:
        try:
            event = compare()
        except Rejected as error:
            event = Refused(error)
        self._give([] if event is None else [event])

    def _give(self, events: Sequence[Event]) -> None:
        if events and not self.stopped:
            self._sink.on_events(events)

    def _lose(self, *, trades: bool, book: bool = True) -> None:
        if trades and not self.stopped:
            self._sink.on_trades_lost([self._instrument])
        if book and not self.stopped:
            self._sink.on_books_lost([self._instrument])

    async def _until_renewed(self) -> None:
        await self._renew.wait()
        raise Renew

    async def _keep_ticker(self) -> None:
        by_stream = self._exchange.has.get("watchTicker") is True
        backoff = Backoff(base=TICKER_EVERY_S, cap=10 * TICKER_EVERY_S)
        while True:
            try:
                ask = self._exchange.watch_ticker if by_stream else self._exchange.fetch_ticker
                self._give(ticker(self._instrument, await answer(ask(self._symbol))))
                backoff.reset()
                wait_s = 0.0 if by_stream else TICKER_EVERY_S
            except Exception as error:  # noqa: BLE001 - see above
                wait_s = backoff.next_s()
                self._say("no ticker", error, wait_s)
            if wait_s:
                await asyncio.sleep(wait_s)

    async def _unwatch(self, method: str) -> None:
        try:
            async with asyncio.timeout(UNSUBSCRIBE_S):
                await answer(getattr(self._exchange, method)(self._symbol))
        except Exception as error:  # noqa: BLE001 - see above
            self._say("cannot unsubscribe", error, 0.0)

    def _say(self, what: str, error: Exception, wait_s: float) -> None:
        if (held_back := self._logs.allows(what)) is not None:
            cause = f"{type(error).__name__}: {error}"[:300]
            extra = {"symbol": self._instrument, "error": cause, "retry_s": round(wait_s, 3), "held_back": held_back}
            logger.warning(what, extra=extra)
