"""The same pair on several venues: which symbols belong together, and the best price of all. No I/O.

Two symbols are of the same pair when the listings of their exchanges name the same base and the same quote, letter for
letter. So USD is not USDT.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from tickfence.analytics.freshness import SymbolStatus, explained
from tickfence.analytics.report import Level, Trading
from tickfence.instrument import Instrument, split

if TYPE_CHECKING:
    from tickfence.readers.reader import Reports


class Pair(NamedTuple):
    """What is traded, and what it is paid with.

    Attributes:
        base: like BTC.
        quote: like USD.

    Example:
        >>> Pair("BTC", "USD").name
        'BTC-USD'
    """

    base: str
    quote: str

    @property
    def name(self) -> str:
        """What readers call it."""
        return f"{self.base}-{self.quote}"


class Quote(Struct, frozen=True, rename="camel"):
    """The best prices of one symbol of a pair."""

    symbol: str
    venue: str
    status: SymbolStatus = "down"
    fresh: Annotated[bool, Meta(description="Whether it counts for the best.")] = False
    reason: Annotated[str | None, Meta(description="Why it does not count.")] = None
    bid: Level | None = None
    ask: Level | None = None
    spread_bps: float | None = None
    age_ms: Annotated[int | None, Meta(description="Age of its market data now.")] = None


class Best(Struct, frozen=True):
    """The best price of the fresh ones, and where it is."""

    symbol: str
    venue: str
    price: float
    qty: float


class AcrossVenues(Struct, frozen=True, rename="camel"):
    """One pair on every venue."""

    now: int
    pair: str
    base: str
    quote: str
    venues: list[Quote]
    best_bid: Best | None
    best_ask: Best | None
    spread_bps: Annotated[float | None, Meta(description="Below 0: one venue bids more than another asks.")]


class _Quoted(Struct, frozen=True, gc=False):
    best_bid: Level | None = None
    best_ask: Level | None = None
    spread_bps: float | None = None


_decode = msgspec.json.Decoder(_Quoted).decode


def grouped(listed: Mapping[str, Pair]) -> dict[str, list[str]]:
    """Return the symbols of each pair, by the pair's name.

    Example:
        >>> grouped({"BTCUSDT": Pair("BTC", "USDT"), "okx:BTC-USDT": Pair("BTC", "USDT")})
        {'BTC-USDT': ['BTCUSDT', 'okx:BTC-USDT']}
    """
    found: dict[str, list[str]] = {}
    for symbol, pair in listed.items():
        found.setdefault(pair.name, []).append(symbol)
    return found


def across_venues(pair: Pair, reports: Reports) -> AcrossVenues:
    """Return the best prices of a pair's symbols side by side, in the order of ``reports.asked``.

    Args:
        pair: the pair.
        reports: of its symbols.
    """
    quotes = {symbol: _without_report(symbol, reports) for symbol in reports.asked}
    for one in reports.found:
        fresh, trading = one.fresh, one.head.ingestion.trading or None
        counts = fresh.status == "ok" and trading in ("trading", None)
        quoted = _decode(one.report)
        quotes[one.symbol] = Quote(
            one.symbol,
            split(one.symbol)[0],
            fresh.status,
            counts,
            None if counts else fresh.reason or _why(fresh.status, trading),
            quoted.best_bid,
            quoted.best_ask,
            quoted.spread_bps,
            fresh.data_age_ms,
        )
    counted = [quote for quote in quotes.values() if quote.fresh]
    bid, ask = _best(counted, bids=True), _best(counted, bids=False)
    spread = (ask.price - bid.price) / (ask.price + bid.price) * 2e4 if bid and ask else None
    rounded = None if spread is None else float(f"{spread:.6g}")
    return AcrossVenues(reports.now_ms, pair.name, *pair, list(quotes.values()), bid, ask, rounded)


def _without_report(symbol: str, reports: Reports) -> Quote:
    idle = reports.idle.get(Instrument(symbol))
    why = str(reports.bad[symbol]) if symbol in reports.bad else explained(idle) if idle else "it has no report now"
    return Quote(symbol, split(symbol)[0], idle or "down", reason=why)


def _why(status: SymbolStatus, trading: Trading | None) -> str:
    if trading in ("halted", "delisted"):
        return f"the exchange has {trading} it"
    return f"its report is {status}: the market data is more than a second old, or one side of the book is empty"


def _best(quotes: Iterable[Quote], *, bids: bool) -> Best | None:
    """The best price; of several that are equal, the one with the most behind it."""
    sides = [(quote, quote.bid if bids else quote.ask) for quote in quotes]
    known = [Best(quote.symbol, quote.venue, level.price, level.qty) for quote, level in sides if level]
    return max(known, key=lambda one: (one.price if bids else -one.price, one.qty), default=None)
