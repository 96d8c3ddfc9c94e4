"""One exchange, read through ccxt: its listing, and the subscriptions of its symbols."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ingest.events import DELISTED, Rules, SymbolRules
from ingest.pacing import LogLimit
from ingest.venue import Sink
from ingest.venues.ccxt.subscription import Subscription, answer
from ingest.venues.ccxt.values import rules, unusable
from tickfence.instrument import Instrument
from tickfence.redis_access.outage import Backoff

logger = logging.getLogger(__name__)

NEEDED = ("watchOrderBook", "watchTrades")
LIST_EVERY_S = 300.0
FIRST_RETRY_S, MAXIMUM_RETRY_S = 1.0, 60.0
NOT_LISTED = SymbolRules("", "", DELISTED)


class CannotUse(Exception):
    """An exchange or a symbol cannot be read through ccxt. The text says why."""


class Exchange:
    """Reads some symbols of one exchange. Its trouble is no other exchange's, and one symbol's is no other's.

    Args:
        name: ccxt's id of the exchange.
        urls: replace its own: ``ws`` and ``rest``.
        sink: gets what is read.
        now_ms: the Redis server's time.
    """

    def __init__(self, name: str, urls: Mapping[str, str], sink: Sink, now_ms: Callable[[], int]) -> None:
        self._name, self._urls = name, urls
        self._sink = sink
        self._now_ms = now_ms
        self._exchange: Any = None
        self._symbols: dict[str, Instrument] = {}
        self._subscriptions: dict[Instrument, tuple[Subscription, asyncio.Task[None]]] = {}
        self._leaving: set[Instrument] = set()
        self._unusable: dict[Instrument, str] = {}
        self._changed = asyncio.Event()
        self._logs = LogLimit()

    def follow(self, symbols: Mapping[str, Instrument]) -> None:
        """Read exactly these symbols, by their names in ccxt, from now on."""
        self._symbols = dict(symbols)
        for instrument, (subscription, _) in self._subscriptions.items():
            if instrument not in symbols.values():
                subscription.stop()
        self._changed.set()

    def renew_book(self, instrument: Instrument, *, lost: bool) -> None:
        """See `ingest.venue.LibraryVenue.renew_book`."""
        if instrument in self._subscriptions:
            self._subscriptions[instrument][0].renew(lost=lost)

    async def run(self) -> None:
        """Read until cancelled."""
        backoff = Backoff(base=FIRST_RETRY_S, cap=MAXIMUM_RETRY_S)
        while True:
            try:
                await self._read()
            except CannotUse as error:
                logger.error("an exchange cannot be followed", extra={"exchange": self._name, "error": str(error)})
                self._sink.on_events([Rules(each, NOT_LISTED) for each in self._symbols.values()])
                self._changed.clear()
                await self._changed.wait()
            except Exception:  # ccxt's code, or a defect here
                wait_s = backoff.next_s()
                logger.exception("an exchange has failed and starts again", extra={"exchange": self._name})
                self._sink.on_trades_lost(self._symbols.values())
                self._sink.on_books_lost(self._symbols.values())
                await asyncio.sleep(wait_s)

    async def _read(self) -> None:
        """Read until cancelled.

        Raises:
            CannotUse: ccxt cannot read this exchange.
        """
        self._exchange = await asyncio.to_thread(opened, self._name, self._urls)
        try:
            async with asyncio.TaskGroup() as group:
                await self._keep_listed(group)
        finally:
            self._subscriptions.clear()
            self._leaving.clear()
            await self._exchange.close()

    async def _keep_listed(self, group: asyncio.TaskGroup) -> None:
        """Load the listing again and again, and subscribe to what it has."""
        backoff = Backoff(base=FIRST_RETRY_S, cap=MAXIMUM_RETRY_S)
        reload = True
        while True:
            self._changed.clear()
            try:
                if reload:
                    await answer(self._load())
                backoff.reset()
                wait_s = LIST_EVERY_S
            except Exception as error:  # noqa: BLE001 - ccxt's code of a hundred exchanges raises anything
                wait_s = backoff.next_s()
                if (held_back := self._logs.allows("listing")) is not None:
                    cause = f"{type(error).__name__}: {error}"[:300]
                    extra = {"exchange": self._name, "error": cause, "retry_s": wait_s, "held_back": held_back}
                    logger.warning("cannot load the exchange's listing", extra=extra)
            if self._exchange.markets:
                self._change(group)
            reload = await self._timed_out(wait_s) or not self._exchange.markets

    async def _load(self) -> None:
        """Load the listing.

        Every watch of ccxt waits while its `load_markets` is at work, and ends it if it is cancelled itself. So that is for
        the first time only, when nothing is watched.
        """
        if self._exchange.markets:
            self._exchange.set_markets(await self._exchange.fetch_markets())
        else:
            await self._exchange.load_markets()

    async def _timed_out(self, wait_s: float) -> bool:
        """Wait; return False as soon as other symbols are followed."""
        try:
            await asyncio.wait_for(self._changed.wait(), wait_s)
        except TimeoutError:
            return True
        return False

    def _change(self, group: asyncio.TaskGroup) -> None:
        """Bring the subscriptions and the rules to what is followed and listed now.

        A listing may lack a symbol for once, so a subscription ends only when its symbol is not followed any more.
        """
        followed = {instrument: symbol for symbol, instrument in self._symbols.items()}
        for instrument, (subscription, task) in list(self._subscriptions.items()):
            if subscription.stopped or instrument not in followed:
                del self._subscriptions[instrument]
                subscription.stop()
                task.cancel()
                self._leaving.add(instrument)
                group.create_task(self._leave(instrument, subscription, task))
        for instrument, symbol in followed.items():
            market = self._exchange.markets.get(symbol)
            why = self._why_not(symbol, market)
            if why and why != self._unusable.get(instrument):
                logger.error("a symbol cannot be followed", extra={"symbol": instrument, "error": why})
            self._unusable[instrument] = why
            if why:
                self._sink.on_events([Rules(instrument, NOT_LISTED)])
                continue
            self._sink.on_events([Rules(instrument, rules(market, self._exchange.precisionMode))])
            if instrument not in self._subscriptions and instrument not in self._leaving:
                made = Subscription(instrument, symbol, self._exchange, self._sink, self._now_ms, self._logs)
                self._subscriptions[instrument] = made, group.create_task(made.run())
        for instrument in self._unusable.keys() - followed.keys():
            del self._unusable[instrument]

    async def _leave(self, instrument: Instrument, subscription: Subscription, task: asyncio.Task[None]) -> None:
        await asyncio.wait({task})
        await subscription.leave()
        self._leaving.discard(instrument)
        self._changed.set()  # it may be followed again

    def _why_not(self, symbol: str, market: Mapping[str, Any] | None) -> str:
        if market is not None:
            return unusable(market)
        near = get_close_matches(symbol, self._exchange.markets, 3)
        return f"{self._name} does not list {symbol}" + (f"; it has {', '.join(near)}" if near else "")


def opened(name: str, urls: Mapping[str, str]) -> Any:
    """Make ccxt's object for an exchange. To import ccxt takes seconds, so do it in a thread.

    Raises:
        CannotUse: there is none of this name, or it cannot do what is needed.
    """
    try:
        library = importlib.import_module("ccxt.pro")
    except ImportError as error:
        raise CannotUse(f"ccxt cannot be imported: {error}") from None
    if name not in library.exchanges:
        near = get_close_matches(name, library.exchanges, 3)
        raise CannotUse(f"ccxt streams no exchange {name}" + (f"; it has {', '.join(near)}" if near else ""))
    exchange = getattr(library, name)({"aiohttp_trust_env": True})
    if missing := [each for each in NEEDED if exchange.has.get(each) is not True]:
        raise CannotUse(f"ccxt has no {' and no '.join(missing)} of {name}")
    exchange.urls["api"] = replaced(exchange.urls["api"], urls)
    return exchange


def replaced(api: Any, urls: Mapping[str, str]) -> Any:
    """An exchange's addresses with other hosts; their paths stay.

    >>> replaced({"ws": "wss://ws.example/v2", "public": "https://example/api"}, {"ws": "ws://127.0.0.1:1"})
    {'ws': 'ws://127.0.0.1:1/v2', 'public': 'https://example/api'}
    """
    if isinstance(api, dict):
        return {name: replaced(each, urls) for name, each in api.items()}
    if not isinstance(api, str):
        return api
    parts = urlsplit(api)
    other = urls.get("ws" if parts.scheme in ("ws", "wss") else "rest")
    return urlunsplit((*urlsplit(other)[:2], *parts[2:])) if other else api
