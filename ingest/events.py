"""The events an exchange sends, in the same form for every exchange, and why a message may be refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import NamedTuple

import msgspec

from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal

Level = tuple[float, float]

INFINITY = float("inf")


class Rejected(ValueError):
    """A message that must not be used.

    Attributes:
        reason: why.
        book_symbol: the symbol whose order book misses an update without it; ``None`` if no book does, or if it is not
            known which.
    """

    def __init__(self, reason: Refusal, detail: str, book_symbol: Instrument | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.book_symbol = book_symbol


class Unfollowed(Exception):
    """A message of a symbol that was followed and is not any more: some come until the exchange has unsubscribed it."""


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One trade.

    Attributes:
        symbol: the instrument.
        time_ms: exchange time, ms.
        trade_id: the exchange's number; each trade's is one higher.
        price: in quote currency: the exchange's decimal text, checked to be a positive number.
        quantity: in base currency; the same.
        is_buy: the aggressor side: whether the buyer took liquidity.
        count: how many of the exchange's trades it stands for: those up to ``trade_id``.
    """

    symbol: Instrument
    time_ms: int
    trade_id: int
    price: str
    quantity: str
    is_buy: bool
    count: int = 1

    @property
    def first_id(self) -> int:
        """The lowest number that it stands for."""
        return self.trade_id - self.count + 1


class Diff(msgspec.Struct, frozen=True, gc=False):
    """What changed in an order book.

    Attributes:
        symbol: the instrument.
        time_ms: exchange time, ms.
        first_update_id: the first update it holds.
        last_update_id: the last update it holds.
        bids: (price, quantity) of the levels that changed; quantity 0 removes a level.
        asks: the same.
        proof: what the venue's `ingest.venue.BookProof` needs to check the book after it; ``None`` if it is not checked.
    """

    symbol: Instrument
    time_ms: int
    first_update_id: int
    last_update_id: int
    bids: list[Level]
    asks: list[Level]
    proof: object = None


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """Statistics of the last 24 hours, as the exchange's decimal text.

    Attributes:
        symbol: the instrument.
        last: price of the newest trade.
        change_pct: change of the price, in percent.
        high: highest price.
        low: lowest price.
        volume: in base currency.
    """

    symbol: Instrument
    last: str
    change_pct: str
    high: str
    low: str
    volume: str


class Shutdown(NamedTuple):
    """The exchange is about to close this connection."""


class Notice(NamedTuple):
    """What the exchange announces, such as maintenance. It is logged once."""

    text: str


class Refused(NamedTuple):
    """A part of a message that must not be used."""

    error: Rejected


class ControlReply(NamedTuple):
    """The answer to a subscription.

    Attributes:
        error: ``None`` if it was accepted.
        request_id: of the control message that it answers; ``None`` if it does not say.
        streams: what it is about, if it says so itself; otherwise all streams of the message. If it says neither, it may be
            about any message of the last few seconds.
        later: whether nothing is wrong with the streams: the exchange takes no more requests for now.
    """

    error: str | None
    request_id: int | None = None
    streams: Sequence[str] = ()
    later: bool = False


class Depth(NamedTuple):
    """A whole order book.

    Attributes:
        last_update_id: the last update it includes.
        bids: (price, quantity).
        asks: (price, quantity).
        lowest_bid: bids below this price are not known, because the answer has a limited number of levels; ``None`` if
            these are all bids.
        highest_ask: the same for asks.
    """

    last_update_id: int
    bids: list[Level]
    asks: list[Level]
    lowest_bid: float | None = None
    highest_ask: float | None = None


class BookSnapshot(NamedTuple):
    """An order book that comes by stream; the diffs after it change it.

    Attributes:
        symbol: the instrument.
        time_ms: exchange time, ms.
        depth: the book. If it has a horizon, the diffs tell of every level up to there.
        proof: as that of a `Diff`.
        told: of so many best levels a side the diffs tell, of a venue that cannot say so of all its books.
    """

    symbol: Instrument
    time_ms: int
    depth: Depth
    proof: object = None
    told: int | None = None


TRADING, HALTED, DELISTED = "trading", "halted", "delisted"


class SymbolRules(NamedTuple):
    """The exchange's rules for one symbol.

    Attributes:
        tick_size: the smallest step of a price, as the exchange's decimal text; empty if there is no such rule.
        step_size: the same for quantities.
        status: `TRADING`, `HALTED` or `DELISTED`.
        base: what is traded, like BTC; empty if the exchange does not say.
        quote: what it is paid with, like USDT.
    """

    tick_size: str
    step_size: str
    status: str
    base: str = ""
    quote: str = ""


class Rules(NamedTuple):
    """The exchange's rules for a symbol, where they come by stream."""

    symbol: Instrument
    rules: SymbolRules


Event = Trade | Diff | Ticker | BookSnapshot | Rules | ControlReply | Refused | Notice | Shutdown


class ExchangeInfo(NamedTuple):
    """What the exchange lists.

    Attributes:
        symbols: the rules of the symbols that were asked for, and maybe of others.
        request_weight: the REST weight that one address may use in the span of `ingest.venue.Limits.request_weight`;
            ``None`` if the exchange does not say.
    """

    symbols: dict[Instrument, SymbolRules]
    request_weight: int | None = None


def check_levels(levels: Iterable[Level]) -> Refusal | None:
    """The first reason to refuse a list of levels; ``None`` if all are finite, prices > 0 and quantities >= 0."""
    for price, quantity in levels:
        if not (0.0 < price < INFINITY and 0.0 <= quantity < INFINITY):
            if not (isfinite(price) and isfinite(quantity)):
                return Refusal.NOT_A_NUMBER
            return Refusal.BAD_PRICE if price <= 0.0 else Refusal.BAD_QUANTITY
    return None
