"""Trades, tickers and rules as ccxt gives them, checked.

Source: https://docs.ccxt.com, "Trade structure", "Ticker structure", "Market structure" and "Precision and limits". ccxt gives
numbers as floats: their shortest text is the exchange's decimal, without zeros at its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from ingest.checks import checked_ticker, checked_trade
from ingest.events import HALTED, TRADING, Event, Refused, Rejected, SymbolRules, Trade
from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal

DECIMAL_PLACES, TICK_SIZE = 2, 4
"""ccxt's precision modes whose numbers say the smallest step. It has one more, for significant digits."""

OLD_MS = 5_000
"""A subscription may begin with trades of the past. Those that are older than it by more than this are left out."""
REMEMBERED = 5_000
"""Ids of trades that are remembered: a new subscription may bring them again."""

Found = Mapping[str, Any]


class NewTrades:
    """The trades of one symbol that have not been seen.

    Args:
        symbol: whose.
    """

    def __init__(self, symbol: Instrument) -> None:
        self._symbol = symbol
        self._ids: set[str] = set()
        self._order: deque[str] = deque()
        self._newest_ms = 0

    def take(self, trades: Iterable[Found], since_ms: int = 0) -> list[Event]:
        """Those of ``trades`` that are new, without numbers of the exchange: ccxt's ids connect at few exchanges.

        Args:
            trades: ccxt's, in their order.
            since_ms: of the first ones of a subscription, when it was made; 0 for the later ones.
        """
        events: list[Event] = []
        newest_ms = self._newest_ms
        for found in trades:
            try:
                trade = _trade(self._symbol, found)
            except Rejected as error:
                events.append(Refused(error))
                continue
            self._newest_ms = max(self._newest_ms, trade.time_ms)
            trade_id = found.get("id")
            known = self._seen(str(trade_id)) if trade_id else bool(since_ms and trade.time_ms <= newest_ms)
            if not known and trade.time_ms > since_ms - OLD_MS:
                events.append(trade)
        return events

    def _seen(self, trade_id: str) -> bool:
        if trade_id in self._ids:
            return True
        self._ids.add(trade_id)
        self._order.append(trade_id)
        if len(self._order) > REMEMBERED:
            self._ids.discard(self._order.popleft())
        return False


def _trade(symbol: Instrument, found: Found) -> Trade:
    time_ms, side = found.get("timestamp"), found.get("side")
    if type(time_ms) is not int:
        raise Rejected(Refusal.BAD_TIME, f"{symbol} trade of {time_ms!r}")
    if side not in ("buy", "sell"):
        raise Rejected(Refusal.WRONG_TYPE, f"{symbol} trade's side {side!r} must be buy or sell")
    return checked_trade(symbol, time_ms, 0, text(found.get("price")), text(found.get("amount")), side == "buy")


def ticker(symbol: Instrument, found: Found) -> list[Event]:
    """A ticker; none if the exchange leaves some of it out."""
    values = [found.get(name) for name in ("last", "percentage", "high", "low", "baseVolume")]
    if any(value is None for value in values):
        return []
    try:
        return [checked_ticker(symbol, *map(text, values))]
    except Rejected as error:
        return [Refused(error)]


def rules(market: Found, precision_mode: int) -> SymbolRules:
    """The rules of a market that ccxt lists. One that does not say whether it trades does."""
    precision = market.get("precision") or {}
    return SymbolRules(
        _step(precision.get("price"), precision_mode),
        _step(precision.get("amount"), precision_mode),
        HALTED if market.get("active") is False else TRADING,
        market.get("base") or "",
        market.get("quote") or "",
    )


def unusable(market: Found) -> str:
    """Why quantities of a market cannot be read as its base currency; empty if they can."""
    size = market.get("contractSize")
    if market.get("inverse"):
        return "its quantities are in quote currency"
    return f"its quantities are contracts of {size}" if market.get("contract") and size not in (None, 1) else ""


def text(number: object) -> str:
    """Decimal text without an exponent, from which the same float is read; empty for what is no number.

    >>> text(1e-08), text(3805.44), text(12), text("0.10"), text(None)
    ('0.00000001', '3805.44', '12', '0.10', '')
    """
    if type(number) is str:
        return number
    return f"{Decimal(repr(number)):f}" if type(number) in (int, float) else ""


def _step(precision: object, mode: int) -> str:
    """A tick or step size.

    >>> _step(0.01, TICK_SIZE), _step(2, DECIMAL_PLACES), _step(5, 3), _step(None, TICK_SIZE)
    ('0.01', '0.01', '', '')
    """
    if not isinstance(precision, int | float):
        return ""
    if mode == DECIMAL_PLACES:
        return f"{Decimal(1).scaleb(-int(precision)):f}"
    return text(precision) if mode == TICK_SIZE else ""
