"""Every exchange that ccxt can stream, as ``ccxt:EXCHANGE:SYMBOL``, like ``ccxt:bitstamp:BTC/USD``.

Both names are ccxt's own. ccxt connects, subscribes, and keeps the order books; here they are compared with what they were
before. In what this is weaker than a venue of its own: docs/venues.md, "Through ccxt".

Source: https://docs.ccxt.com, "Pro", "watchOrderBook" and "watchTrades".
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec

from ingest.venue import LibraryVenue, Sink
from ingest.venues.ccxt.exchange import Exchange
from tickfence.instrument import Instrument, split


class Ccxt(LibraryVenue):
    """The exchanges of all symbols that are followed, each by itself.

    Raises:
        ModuleNotFoundError: ccxt is not installed.
    """

    def __init__(self) -> None:
        if find_spec("ccxt") is None:
            raise ModuleNotFoundError("ccxt is not installed", name="ccxt")
        self._symbols: Collection[Instrument] = ()
        self._exchanges: dict[str, tuple[Exchange, asyncio.Task[None]]] = {}
        self._open: Callable[[str], None] = lambda _: None

    def follow(self, symbols: Collection[Instrument]) -> None:
        """Read exactly these symbols from now on."""
        by_exchange: dict[str, dict[str, Instrument]] = defaultdict(dict)
        for instrument in symbols:
            name, _, symbol = split(instrument)[1].partition(":")
            by_exchange[name][symbol] = instrument
        self._symbols = symbols
        for name in by_exchange.keys() - self._exchanges.keys():
            self._open(name)
        for name in self._exchanges.keys() - by_exchange.keys():
            exchange, task = self._exchanges.pop(name)
            exchange.follow({})
            task.cancel()
        for name, (exchange, _) in self._exchanges.items():
            exchange.follow(by_exchange[name])

    def renew_book(self, symbol: Instrument, *, lost: bool) -> None:
        """Give a snapshot of the symbol's book."""
        name = split(symbol)[1].partition(":")[0]
        if name in self._exchanges:
            self._exchanges[name][0].renew_book(symbol, lost=lost)

    async def run(self, sink: Sink, urls: Mapping[str, str], now_ms: Callable[[], int]) -> None:
        """Read until cancelled. The name of a URL is ``bitstamp.ws``, or ``ws`` for that of every exchange."""
        async with asyncio.TaskGroup() as group:

            def open_exchange(name: str) -> None:
                own = {kind: urls.get(f"{name}.{kind}", urls.get(kind, "")) for kind in ("ws", "rest")}
                exchange = Exchange(name, own, sink, now_ms)
                self._exchanges[name] = exchange, group.create_task(exchange.run())

            self._open = open_exchange
            self.follow(self._symbols)
            await asyncio.Event().wait()
