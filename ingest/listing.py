"""What one exchange lists: each symbol's tick size, step size and trading status, kept up to date in Redis."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence

from ingest.events import DELISTED, TRADING, SymbolRules
from ingest.rest import BadAnswer, RestClient, RestError
from ingest.url_length import leading
from ingest.venue import Venue
from tickfence.instrument import Instrument
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.redis_access.outage import Backoff

logger = logging.getLogger(__name__)

EVERY_S = 60.0
"""Time between two questions for all symbols. A symbol that is added is asked for at once."""
UNLISTED_EVERY_S = 3600.0

Write = Callable[[Instrument, SymbolRules], None]


class Listing:
    """Asks for the rules of all symbols, and writes what has changed.

    It asks for many symbols at once. The exchange refuses that when it does not list one of them. It also leaves out
    symbols that it shows only when they are asked for alone. So a symbol that such an answer lacks is asked for alone.

    Args:
        rest: asks the exchange.
        venue: how many symbols one request may name.
        symbols: the symbols to ask for at first.
        write: called with each symbol's rules when they are first known and when they change.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        rest: RestClient,
        venue: Venue,
        symbols: Sequence[Instrument],
        write: Write,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rest = rest
        self._venue = venue.name
        self._most = venue.limits.symbols_per_info
        self._symbols: Collection[Instrument] = symbols
        self._added = asyncio.Event()
        self._write = write
        self._clock = clock
        self._rules: dict[Instrument, SymbolRules] = {}
        self._not_before: dict[Instrument, float] = {}

    def follow(self, symbols: Collection[Instrument]) -> None:
        """Ask for exactly these symbols from now on."""
        self._symbols = symbols
        for known in (self._rules, self._not_before):
            for symbol in known.keys() - set(symbols):
                del known[symbol]
        self._count()
        self._added.set()

    def on_rules(self, symbol: Instrument, rules: SymbolRules) -> None:
        """Take rules that came by stream."""
        self._listed(symbol, rules)

    async def run(self) -> None:
        """Ask again and again until cancelled."""
        backoff = Backoff(base=0.5, cap=EVERY_S)
        only_added = False
        while True:
            self._added.clear()
            try:
                await self.update(only_added=only_added)
            except RestError as error:
                wait = backoff.next_s()
                extra = {"venue": self._venue, "error": str(error), "retry_s": round(wait, 3)}
                logger.warning("cannot load symbol information", extra=extra)
            else:
                backoff.reset()
                wait = EVERY_S
            only_added = await self._wait(wait)

    async def _wait(self, wait_s: float) -> bool:
        """Wait; return True as soon as symbols are added."""
        try:
            await asyncio.wait_for(self._added.wait(), wait_s)
        except TimeoutError:
            return False
        return True

    async def update(self, *, only_added: bool = False) -> None:
        """Ask once for every symbol; for one that is not listed, once an hour.

        Args:
            only_added: ask for those alone that no answer has told of yet.

        Raises:
            RestError: the exchange cannot be asked now.
        """
        now = self._clock()
        due = [symbol for symbol in self._symbols if self._not_before.get(symbol, now) <= now]
        if only_added:
            due = [symbol for symbol in due if symbol not in self._rules]
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
        if symbol not in self._symbols:
            return
        before = self._rules.get(symbol)
        self._not_before.pop(symbol, None)
        self._count()
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
        symbols = [symbol for symbol in symbols if symbol in self._symbols]
        never = [symbol for symbol in symbols if symbol not in self._rules]
        if never:
            logger.error("the exchange does not list these symbols, no data will come", extra={"symbols": never})
        for symbol in symbols:
            self._not_before[symbol] = self._clock() + UNLISTED_EVERY_S
            before = self._rules.get(symbol, SymbolRules("", "", DELISTED))
            if before.status != DELISTED:
                logger.warning("the exchange does not list this symbol any more", extra={"symbol": symbol})
            rules = before._replace(status=DELISTED)
            if self._rules.get(symbol) != rules:
                self._rules[symbol] = rules
                self._write(symbol, rules)
        self._count()

    def _count(self) -> None:
        metrics.symbols_unlisted.labels(self._venue).set(len(self._not_before))
