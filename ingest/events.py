"""What an exchange tells us, in this program's words, and why a message may be refused."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from math import isfinite
from typing import NamedTuple

import msgspec

from tickfence.instrument import Instrument

Level = tuple[float, float]

INFINITY = float("inf")


class Reason(StrEnum):
    """Why a message was refused: the ``reason`` label of ``nt_ingest_rejected_total``."""

    NOT_JSON = "not_json"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_EVENT = "unknown_event"
    UNKNOWN_SYMBOL = "unknown_symbol"
    OVERSIZED = "oversized"
    NOT_A_NUMBER = "not_a_number"
    BAD_PRICE = "bad_price"
    BAD_QUANTITY = "bad_quantity"
    BAD_TIME = "bad_time"
    BAD_UPDATE_IDS = "bad_update_ids"
    UPDATE_ID_BACK = "update_id_back"
    CROSSED_BOOK = "crossed_book"


class Rejected(ValueError):
    """A message that must not be used.

    ``book_symbol`` is the symbol whose order book missed an update by it, None when no book did
    or none can be told.
    """

    def __init__(self, reason: Reason, detail: str, book_symbol: Instrument | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.book_symbol = book_symbol


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One trade; ``price`` and ``quantity`` are the exchange's decimal text, checked to be positive numbers."""

    symbol: Instrument
    time_ms: int
    trade_id: int
    price: str
    quantity: str
    is_buy: bool


class Diff(msgspec.Struct, frozen=True, gc=False):
    """What changed in an order book from ``first_update_id`` to ``last_update_id``; quantity 0 removes a level."""

    symbol: Instrument
    time_ms: int
    first_update_id: int
    last_update_id: int
    bids: list[Level]
    asks: list[Level]


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """Statistics of the last 24 hours, as the exchange's decimal text."""

    symbol: Instrument
    last: str
    change_pct: str
    high: str
    low: str
    volume: str


class Shutdown(NamedTuple):
    """The exchange is about to close this connection."""


class ControlReply(NamedTuple):
    """The answer to a subscription; ``error`` is None when it was accepted."""

    error: str | None


Event = Trade | Diff | Ticker | Shutdown | ControlReply


class Depth(NamedTuple):
    """An order book as the exchange's REST endpoint gives it.

    Where the exchange cut the answer short, levels below ``lowest_bid`` and above
    ``highest_ask`` are not known; else these are 0 and infinity.
    """

    last_update_id: int
    bids: list[Level]
    asks: list[Level]
    lowest_bid: float = 0.0
    highest_ask: float = INFINITY


class SymbolRules(NamedTuple):
    """What the exchange says of one symbol, as its own text."""

    tick_size: str
    step_size: str
    status: str


class ExchangeInfo(NamedTuple):
    """Every symbol the exchange lists, and the REST weight one address may use a minute (None if it does not say)."""

    symbols: dict[Instrument, SymbolRules]
    weight_per_minute: int | None


def check_levels(levels: Iterable[Level]) -> Reason | None:
    """The first reason to refuse a list of levels, None when all are finite, price > 0 and quantity >= 0."""
    for price, quantity in levels:
        if not (0.0 < price < INFINITY and 0.0 <= quantity < INFINITY):
            if not (isfinite(price) and isfinite(quantity)):
                return Reason.NOT_A_NUMBER
            return Reason.BAD_PRICE if price <= 0.0 else Reason.BAD_QUANTITY
    return None
