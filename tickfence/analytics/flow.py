"""Trading activity over the last seconds."""

import numpy as np

from tickfence.analytics.trade_window import TradeWindow

ORDERS_WINDOW_MS = 10_000
NET_FLOW_WINDOW_MS = 30_000


def orders_per_sec(trades: TradeWindow, now_ms: int) -> float:
    """Trades per second: the number of trades in (now - 10 s, now], divided by 10."""
    first, last = trades.between(now_ms - ORDERS_WINDOW_MS, now_ms)
    return (last - first) / (ORDERS_WINDOW_MS / 1000)


def net_flow(trades: TradeWindow, now_ms: int) -> float:
    """Aggressive buy minus aggressive sell volume in (now - 30 s, now], in base currency, unrounded."""
    first, last = trades.between(now_ms - NET_FLOW_WINDOW_MS, now_ms)
    return float(np.add.reduce(trades.signed_quantities(first, last)))
