"""Spoofing, icebergs and flash-crash risk, from plain lists of everything that happened.

changes: [(time_ms, side, price, before, after)] in order of time; trades: [(time_ms, price, quantity, is_buy)].
"""

from decimal import Decimal
from typing import Any

from tests.oracles.exact import exact

Change = tuple[int, str, float, float, float]
Trade = Any
Anomalies = list[dict[str, Any]]


def spoofing(
    changes: list[Change],
    trades: list[Trade],
    now: int,
    p95: float | Decimal,
    bid: float,
    ask: float,
    known_after: int = 0,
) -> Anomalies:
    """known_after: a trade or change up to this time may be missing."""
    found: Anomalies = []
    start = max(now - 30_000, known_after)
    recent_trades = [trade for trade in trades if start < trade[0] <= now]
    levels: dict[tuple[str, float], list[tuple[int, Decimal, Decimal]]] = {}
    large = exact(p95)
    for time, side, price, before, after in changes:
        if start < time <= now:
            levels.setdefault((side, price), []).append((time, exact(before), exact(after)))
    for (side, price), history in levels.items():
        best_bid, best_ask = exact(bid), exact(ask)
        if not abs(exact(price) - (best_bid + best_ask) / 2) > 3 * (best_ask - best_bid):
            continue
        pulls = counted = 0
        previous = start
        for time, had, has in history:
            if not (has > had and has >= large):
                counted += 1
            if had >= large and has < Decimal("0.9") * had:
                traded = sum(
                    exact(quantity)
                    for trade_time, trade_price, quantity, is_buy in recent_trades
                    if trade_price == price and previous < trade_time <= time and is_buy == (side == "ask")
                )
                if traded < (had - has) / 2:
                    pulls += 1
            previous = time
        if pulls >= 3 and 10 * pulls >= 7 * counted:
            severity = "high" if 10 * pulls >= 9 * counted else "medium" if 10 * pulls >= 8 * counted else "low"
            anomaly = {"type": "spoofing", "severity": severity, "side": side, "price": price}
            found.append({**anomaly, "pulls": pulls, "changes": counted})
    return sorted(found, key=lambda anomaly: (anomaly["price"], anomaly["side"] == "bid"))


def icebergs(
    changes: list[Change],
    trades: list[Trade],
    start: int,
    end: int,
    bids: dict[float, float],
    asks: dict[float, float],
) -> Anomalies:
    """Trades of (start, end] count; bids, asks: {price: quantity} of the book now."""
    found: Anomalies = []
    recent = [trade for trade in sorted(trades, key=lambda trade: trade[0]) if start < trade[0] <= end]
    for price, is_buy in {(price, is_buy) for _, price, _, is_buy in recent}:
        mine = [trade for trade in recent if (trade[1], trade[3]) == (price, is_buy)]
        if len(mine) < 5:
            continue
        side = "ask" if is_buy else "bid"
        first = mine[0][0]
        seen = [c for c in changes if first <= c[0] and (c[1], c[2]) == (side, price)]
        shown = [seen[0][3], *(c[4] for c in seen)] if seen else [(asks if is_buy else bids).get(price, 0.0)]
        shown = [exact(quantity) for quantity in shown]
        decline = max(one - other for place, one in enumerate(shown) for other in shown[place:])
        traded = sum((exact(quantity) for _, _, quantity, _ in mine), Decimal(0))
        refilled = traded - decline
        if shown[0] == 0 or refilled < Decimal("0.9") * traded:
            continue
        severity = "high" if len(mine) >= 20 else "medium" if len(mine) >= 10 else "low"
        found.append(
            {
                "type": "iceberg",
                "severity": severity,
                "side": side,
                "price": price,
                "trades": len(mine),
                "traded_qty": float(traded),
                "visible_qty": float(shown[0]),
                "refilled_qty": float(refilled),
            }
        )
    return sorted(found, key=lambda anomaly: (anomaly["price"], anomaly["side"] == "bid"))


def flash_crash_risk(
    spread_bps: float | Decimal | None,
    imbalance: float | Decimal | None,
    trades: list[Trade],
    now: int,
    known_after: int = 0,
) -> Anomalies:
    """spread_bps, imbalance: None where a side of the book is empty; known_after: as spoofing()."""
    signals = []
    if spread_bps is not None and spread_bps > 20:
        signals.append("wide_spread")
    if imbalance is not None and abs(imbalance) > Decimal("0.3"):
        signals.append("imbalance")
    later = sum(exact(q) for time, _, q, is_buy in trades if now - 5_000 < time <= now and not is_buy)
    earlier = sum(exact(q) for time, _, q, is_buy in trades if now - 10_000 < time <= now - 5_000 and not is_buy)
    if known_after <= now - 10_000 and later > 0 and later >= 2 * earlier:
        signals.append("sell_acceleration")
    if len(signals) < 2:
        return []
    severity = "high" if len(signals) == 3 else "medium"
    return [{"type": "flash_crash_risk", "severity": severity, "signals": signals}]
