"""What Kraken lists, and whether its trading engine runs.

Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2, pages instrument and status. One subscription
tells of all pairs; the status comes by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ingest.checks import size
from ingest.events import DELISTED, HALTED, TRADING, Notice, Rules, SymbolRules
from ingest.venues.kraken.numbers import plain
from tickfence.instrument import Instrument

ONLINE = "online"
MATCHING = (ONLINE, "limit_only", "reduce_only")
"""States of a pair in which orders are matched."""

UNLISTED = SymbolRules("", "", DELISTED)


class Pair(msgspec.Struct):
    """A pair, as the exchange describes it."""

    symbol: str
    status: str
    base: str = ""
    quote: str = ""
    price_increment: msgspec.Raw = msgspec.Raw(b"0")
    qty_increment: msgspec.Raw = msgspec.Raw(b"0")


class Instruments:
    """The rules of all pairs, and the events that tell of those followed."""

    def __init__(self) -> None:
        self._rules: dict[str, SymbolRules] = {}
        self._followed: Mapping[str, Instrument] = {}
        self._untold: set[str] = set()
        self._system = ONLINE

    def follow(self, followed: Mapping[str, Instrument]) -> None:
        """Tell of exactly these symbols from now on."""
        self._untold = {name for name in followed if name not in self._followed or name in self._untold}
        self._followed = followed

    def on_pairs(self, pairs: Iterable[Pair], *, all_of_them: bool) -> list[Rules]:
        """Take pairs that are new or have changed, or all that there are."""
        found = {pair.symbol: _rules(pair) for pair in pairs}
        self._rules = found if all_of_them else self._rules | found
        return self._tell(self._followed if all_of_them else self._followed.keys() & found.keys())

    def on_status(self, system: str) -> list[Notice | Rules]:
        """Take the state of the trading engine. Each new connection begins with it."""
        if system == self._system:
            return []
        self._system = system
        return [Notice(f"the trading engine is {system}"), *(self._tell(self._followed) if self._rules else ())]

    def untold(self) -> list[Rules]:
        """The rules of symbols that were added after the exchange had told of all."""
        return self._tell(list(self._untold)) if self._untold and self._rules else []

    def _tell(self, names: Iterable[str]) -> list[Rules]:
        self._untold.difference_update(names)
        return [Rules(self._followed[name], self._now(self._rules.get(name, UNLISTED))) for name in names]

    def _now(self, rules: SymbolRules) -> SymbolRules:
        return rules._replace(status=HALTED) if self._system != ONLINE and rules.status == TRADING else rules


def _rules(pair: Pair) -> SymbolRules:
    status = TRADING if pair.status in MATCHING else DELISTED if pair.status == "delisted" else HALTED
    return SymbolRules(
        size(plain(pair.price_increment)), size(plain(pair.qty_increment)), status, pair.base, pair.quote
    )
