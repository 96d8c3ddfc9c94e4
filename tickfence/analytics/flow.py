"""Trading activity of the last seconds: the report's `flow`."""

from typing import Annotated

import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType

from tickfence.analytics.fields import QUANTITY_DECIMALS, number
from tickfence.analytics.market import Market
from tickfence.analytics.trade_window import TradeWindow

ORDERS_WINDOW_MS = 10_000
NET_FLOW_WINDOW_MS = 30_000


class Flow(Struct, frozen=True, gc=False):
    """Trading over the last 10 and 30 seconds."""

    orders_per_sec: Annotated[float, Meta(ge=0)]
    net_flow: float | UnsetType = UNSET


def flow(market: Market) -> Flow | UnsetType:
    """The section; UNSET while no trade is known."""
    trades, now_ms = market.trades, market.now_ms
    if not len(trades):
        return UNSET
    return Flow(orders_per_sec(trades, now_ms), number(net_flow(trades, now_ms), QUANTITY_DECIMALS))


def orders_per_sec(trades: TradeWindow, now_ms: int) -> float:
    """Trades per second: the number of trades in (now - 10 s, now], divided by 10."""
    first, last = trades.between(now_ms - ORDERS_WINDOW_MS, now_ms)
    return (last - first) / (ORDERS_WINDOW_MS / 1000)


def net_flow(trades: TradeWindow, now_ms: int) -> float:
    """Aggressive buy volume minus aggressive sell volume in (now - 30 s, now], in base currency, unrounded."""
    first, last = trades.between(now_ms - NET_FLOW_WINDOW_MS, now_ms)
    return float(np.add.reduce(trades.signed_quantities(first, last)))
