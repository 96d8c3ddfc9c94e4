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
    """Trading over the last 10 and 30 seconds; a number whose window is not covered is left out.

    `window_sec` is how much of the 30 s is covered, in whole seconds.
    """

    window_sec: Annotated[int, Meta(ge=0, le=NET_FLOW_WINDOW_MS // 1000)]
    orders_per_sec: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    net_flow: float | UnsetType = UNSET


_FULL_WINDOW_SEC = NET_FLOW_WINDOW_MS // 1000


def flow(market: Market) -> Flow:
    """The section."""
    trades, now_ms = market.trades, market.market_ms
    covered_ms = now_ms - trades.complete_after_ms
    if covered_ms >= NET_FLOW_WINDOW_MS:  # as nearly always
        net = number(net_flow(trades, now_ms), QUANTITY_DECIMALS)
        return Flow(_FULL_WINDOW_SEC, orders_per_sec(trades, now_ms), net)
    rate = orders_per_sec(trades, now_ms) if covered_ms >= ORDERS_WINDOW_MS else UNSET
    return Flow(max(0, covered_ms) // 1000, rate)


def orders_per_sec(trades: TradeWindow, now_ms: int) -> float:
    """Trades per second: the number of trades in (now - 10 s, now], divided by 10."""
    first, last = trades.between(now_ms - ORDERS_WINDOW_MS, now_ms)
    return (last - first) / (ORDERS_WINDOW_MS / 1000)


def net_flow(trades: TradeWindow, now_ms: int) -> float:
    """Aggressive buy volume minus aggressive sell volume in (now - 30 s, now], in base currency, unrounded."""
    first, last = trades.between(now_ms - NET_FLOW_WINDOW_MS, now_ms)
    return float(np.add.reduce(trades.signed_quantities(first, last)))
