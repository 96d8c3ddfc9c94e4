"""Spoofing, icebergs and flash-crash risk, from plain lists of everything that happened.

changes: [(time_ms, side, price, before, after)] in order of time; trades: [(time_ms, price, quantity, is_buy)].
"""

from typing import Any

Change = tuple[int, str, float, float, float]
Trade = Any
Anomalies = list[dict[str, Any]]


def spoofing(changes: list[Change], trades: list[Trade], now: int, p95: float, bid: float, ask: float) -> Anomalies:
    found: Anomalies = []
    recent_trades = [trade for trade in trades if now - 30_000 < trade[0] <= now]
    levels: dict[tuple[str, float], list[tuple[int, float, float]]] = {}
    for time, side, price, before, after in changes:
        if now - 30_000 < time <= now:
            levels.setdefault((side, price), []).append((time, before, after))
    for (side, price), history in levels.items():
        if not abs(price - (bid + ask) / 2) > 3 * (ask - bid):
            continue
        pulls = counted = 0
        previous = now - 30_000
        for time, before, after in history:
            if not (after > before and after >= p95):
                counted += 1
            if before >= p95 and after < 0.9 * before:
                traded = sum(
                    quantity
                    for trade_time, trade_price, quantity, is_buy in recent_trades
                    if trade_price == price and previous < trade_time <= time and is_buy == (side == "ask")
                )
                if traded < (before - after) / 2:
                    pulls += 1
            previous = time
        if pulls >= 3 and pulls / counted >= 0.7:
            severity = "high" if pulls / counted >= 0.9 else "medium" if pulls / counted >= 0.8 else "low"
            anomaly = {"type": "spoofing", "severity": severity, "side": side, "price": price}
            found.append({**anomaly, "pulls": pulls, "changes": counted})
    return sorted(found, key=lambda anomaly: (anomaly["price"], anomaly["side"] == "bid"))


def icebergs(
    changes: list[Change], trades: list[Trade], now: int, bids: dict[float, float], asks: dict[float, float]
) -> Anomalies:
    """bids, asks: {price: quantity} of the book now."""
    found: Anomalies = []
    recent = [trade for trade in sorted(trades, key=lambda trade: trade[0]) if now - 30_000 < trade[0] <= now]
    for price, is_buy in {(price, is_buy) for _, price, _, is_buy in recent}:
        mine = [trade for trade in recent if (trade[1], trade[3]) == (price, is_buy)]
        if len(mine) < 5:
            continue
        side = "ask" if is_buy else "bid"
        first = mine[0][0]
        seen = [c for c in changes if first < c[0] <= now and (c[1], c[2]) == (side, price)]
        visible = [seen[0][3], *(c[4] for c in seen)] if seen else [(asks if is_buy else bids).get(price, 0.0)]
        if visible[0] == 0 or any(abs(quantity - visible[0]) > 0.1 * visible[0] for quantity in visible):
            continue
        severity = "high" if len(mine) >= 20 else "medium" if len(mine) >= 10 else "low"
        found.append(
            {
                "type": "iceberg",
                "severity": severity,
                "side": side,
                "price": price,
                "trades": len(mine),
                "traded_qty": sum(quantity for _, _, quantity, _ in mine),
                "visible_qty": visible[0],
            }
        )
    return sorted(found, key=lambda anomaly: (anomaly["price"], anomaly["side"] == "bid"))


def flash_crash_risk(spread_bps: float | None, imbalance: float | None, trades: list[Trade], now: int) -> Anomalies:
    """spread_bps, imbalance: None where a side of the book is empty."""
    signals = []
    if spread_bps is not None and spread_bps > 20:
        signals.append("wide_spread")
    if imbalance is not None and abs(imbalance) > 0.3:
        signals.append("imbalance")
    later = sum(q for time, _, q, is_buy in trades if now - 5_000 < time <= now and not is_buy)
    earlier = sum(q for time, _, q, is_buy in trades if now - 10_000 < time <= now - 5_000 and not is_buy)
    if later > 0 and later >= 2 * earlier:
        signals.append("sell_acceleration")
    if len(signals) < 2:
        return []
    severity = "high" if len(signals) == 3 else "medium"
    return [{"type": "flash_crash_risk", "severity": severity, "signals": signals}]
