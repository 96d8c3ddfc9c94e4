"""What the exchange lists: each symbol's tick size, step size and trading status, kept up to date in Redis."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from ingest.events import DELISTED, TRADING, SymbolRules
from ingest.exchange import Exchange
from ingest.rest import BadAnswer, RestClient, RestError
from ingest.url_length import leading
from tickfence.instrument import Instrument
from tickfence.redis_access.outage import Backoff

logger = logging.getLogger(__name__)

EVERY_S = 60.0
UNLISTED_EVERY_S = 3600.0

Write = Callable[[Instrument, SymbolRules], None]


class Listing:
    """Asks for the rules of all symbols, and writes what has changed.

    It asks for many symbols at once. The exchange refuses that when it does not list one of them. It also leaves out
    symbols that it shows only when they are asked for alone. So a symbol that such an answer lacks is asked for alone.

    Args:
        rest: asks the exchange.
        exchange: how many symbols one request may name.
        symbols: all symbols of this process.
        write: called with each symbol's rules when they are first known and when they change.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        rest: RestClient,
        exchange: Exchange,
        symbols: Sequence[Instrument],
        write: Write,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rest = rest
        self._most = exchange.symbols_per_info
        self._symbols = symbols
        self._write = write
        self._clock = clock
        self._rules: dict[Instrument, SymbolRules] = {}
        self._not_before: dict[Instrument, float] = {}

    async def run(self) -> None:
        """Ask again and again until cancelled."""
        backoff = Backoff(base=0.5, cap=EVERY_S)
        while True:
            try:
                await self.update()
            except RestError as error:
                wait = backoff.next_s()
                logger.warning("cannot load symbol information", extra={"error": str(error), "retry_s": round(wait, 3)})
            else:
                backoff.reset()
                wait = EVERY_S
            await asyncio.sleep(wait)

    async def update(self) -> None:
        """Ask once for every symbol; for one that is not listed, once an hour.

        Raises:
            RestError: the exchange cannot be asked now.
        """
        now = self._clock()
        due = [symbol for symbol in self._symbols if self._not_before.get(symbol, now) <= now]
        unclear = [symbol for symbol in due if symbol in self._not_before]
        due = [symbol for symbol in due if symbol not in self._not_before]
        while due:
            count = leading(due, self._most)
            unclear += await self._ask_together(due[:count])
            del due[:count]
        self._not_listed([symbol for symbol in unclear if not await self._ask_alone(symbol)])

    async def _ask_together(self, symbols: Sequence[Instrument]) -> list[Instrument]:
        """Ask for several symbols; return those that the answer does not tell of."""
        try:
            info = await self._rest.info(symbols)
        except RestError as error:
            if error.final or isinstance(error, BadAnswer):
                return list(symbols)
            raise
        for symbol in symbols:
            if symbol in info.symbols:
                self._listed(symbol, info.symbols[symbol])
        return [symbol for symbol in symbols if symbol not in info.symbols]

    async def _ask_alone(self, symbol: Instrument) -> bool:
        """Ask for one symbol; return False if the exchange does not list it."""
        try:
            info = await self._rest.info([symbol])
        except BadAnswer as error:
            logger.warning("cannot use symbol information", extra={"symbol": symbol, "error": str(error)})
            return True
        except RestError as error:
            if error.final:
                return False
            raise
        if symbol in info.symbols:
            self._listed(symbol, info.symbols[symbol])
        return symbol in info.symbols or not info.symbols  # an empty list tells nothing

    def _listed(self, symbol: Instrument, rules: SymbolRules) -> None:
        before = self._rules.get(symbol)
        self._not_before.pop(symbol, None)
        if rules == before:
            return
        self._rules[symbol] = rules
        self._write(symbol, rules)
        if before is not None or rules.status != TRADING:
            was = before and before._asdict()
            logger.info(
                "the exchange's rules of a symbol are new",
                extra={"symbol": symbol, "before": was, "now": rules._asdict()},
            )

    def _not_listed(self, symbols: Sequence[Instrument]) -> None:
        never = [symbol for symbol in symbols if symbol not in self._rules]
        if never:
            logger.error("the exchange does not list these SYMBOLS, no data will come", extra={"symbols": never})
        for symbol in symbols:
            self._not_before[symbol] = self._clock() + UNLISTED_EVERY_S
            before = self._rules.get(symbol, SymbolRules("", "", DELISTED))
            if before.status != DELISTED:
                logger.warning("the exchange does not list this symbol any more", extra={"symbol": symbol})
            rules = before._replace(status=DELISTED)
            if self._rules.get(symbol) != rules:
                self._rules[symbol] = rules
                self._write(symbol, rules)
