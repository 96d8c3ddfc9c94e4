"""The listed symbols: names, tick and step sizes, start prices.

A symbol of another exchange than Binance has its venue before it: `okx:BTC-USDT`, `kraken:BTC/USDT`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tickfence.instrument import parse_instrument

MAX_GENERATED = 20_000

_SEPARATORS = {"okx": "-", "kraken": "/"}
VENUES = tuple(_SEPARATORS)
"""Whose dialects there are beside Binance's."""

_QUOTES = ("USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB", "EUR", "TRY")
_SYLLABLES = ("A", "BA", "CO", "DE", "FI", "GA", "HO", "KI", "LU", "MA", "NE", "OR", "PI", "RO", "SU", "TA", "VE", "ZO")


class BadSymbols(ValueError):
    """A symbol list that is not accepted; its text says what is accepted."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """One listed symbol. Prices are whole ticks and quantities whole steps, so the market never rounds.

    Attributes:
        symbol, base, quote: its name and its two currencies.
        tick_decimals, step_decimals: decimal places of prices and quantities.
        start_ticks: the price at the start.
        level_steps: the typical quantity of a level near the best price.
    """

    symbol: str
    base: str
    quote: str
    tick_decimals: int
    step_decimals: int
    start_ticks: int
    level_steps: int


# Symbol -> price, decimals of the tick, decimals of the step, typical quantity of a level.
_KNOWN: dict[str, tuple[float, int, int, float]] = {
    "BTCUSDT": (67_000.0, 1, 5, 0.4),
    "ETHUSDT": (3_500.0, 2, 4, 6.0),
    "BNBUSDT": (600.0, 2, 3, 20.0),
    "SOLUSDT": (150.0, 2, 3, 90.0),
    "ADAUSDT": (0.45, 4, 1, 20_000.0),
    "DOTUSDT": (7.0, 3, 2, 1_500.0),
}


def instrument(symbol: str) -> Instrument:
    """The instrument of a name: the same in every process.

    An unknown name gets a random price, a tick of 0.1 to 1 basis point of it, and levels worth a few thousand units of
    the quote currency.

    Raises:
        BadSymbols: the name does not match.
    """
    try:
        parse_instrument(symbol)
    except ValueError as error:
        raise BadSymbols(str(error)) from None
    venue, colon, name = symbol.rpartition(":")
    if colon and venue not in VENUES:
        raise BadSymbols(
            f"symbol {symbol}: no such exchange here; there are Binance (no prefix) and {', '.join(VENUES)}"
        )
    base, quote = _split(name)
    if base + quote in _KNOWN:
        price, tick_decimals, step_decimals, quantity = _KNOWN[base + quote]
    else:
        chance = random.Random(symbol)
        price = 10 ** chance.uniform(-2.0, 3.0)
        tick_decimals = 4 - math.floor(math.log10(price))
        quantity = chance.uniform(2_000, 20_000) / price
        step_decimals = max(0, 3 - math.floor(math.log10(quantity)))
    return Instrument(
        symbol,
        base,
        quote,
        tick_decimals,
        step_decimals,
        start_ticks=round(price * 10**tick_decimals),
        level_steps=max(10, round(quantity * 10**step_decimals)),
    )


def parse(text: str, venue: str = "binance") -> list[Instrument]:
    """The instruments of `--symbols`: comma-separated names, or a number of symbols, all of one venue.

    Raises:
        BadSymbols: the list is empty, a name does not match or is listed twice, or the number is out of range.
    """
    if text.isdecimal():
        count = int(text)
        if not 1 <= count <= MAX_GENERATED:
            raise BadSymbols(f"{count} symbols: must be 1 to {MAX_GENERATED}")
        names = [name for name, _ in zip(_names(), range(count), strict=False)]
        return [instrument(name if venue == "binance" else _at(venue, name)) for name in names]
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise BadSymbols(f"symbols {text!r}: must be names like BTCUSDT,ETHUSDT or a number of symbols")
    for name in names:
        if names.count(name) > 1:
            raise BadSymbols(f"symbol {name} is listed twice; list each symbol once")
    return [instrument(name) for name in names]


def _names() -> Iterator[str]:
    """Distinct symbol names without end, always in the same order, known names first."""
    seen = set(_KNOWN)
    yield from _KNOWN
    chance = random.Random("symbol names")
    while True:
        name = "".join(chance.choices(_SYLLABLES, k=chance.choice((2, 2, 3)))) + "USDT"
        if name not in seen:
            seen.add(name)
            yield name


def _at(venue: str, name: str) -> str:
    return f"{venue}:{_SEPARATORS[venue].join(_split(name))}"


def _split(symbol: str) -> tuple[str, str]:
    for separator in _SEPARATORS.values():
        base, found, quote = symbol.partition(separator)
        if found:
            return base, quote
    for quote in _QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol[: -len(quote)], quote
    return symbol, "USDT"
