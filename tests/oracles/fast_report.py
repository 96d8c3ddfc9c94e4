"""The fast part of a report by its definitions alone: plain lists, recomputed from everything on every call."""

from decimal import Decimal
from typing import Any

from tests.oracles.exact import exact


def fast_report(
    bids: dict[float, float],
    asks: dict[float, float],
    trades: list[Any],
    ticker: dict[str, float],
    book_update: int,
    now: int,
    node_id: str = "node-001",
    token: int = 1,
    trade_update: int | None = None,
    newest_diff: int = 0,
    known_after: int = 0,
    tick_size: str | None = None,
) -> dict[str, Any]:
    """The report as plain data.

    Args:
        bids, asks: {price: quantity}.
        trades: [(time_ms, price, quantity, is_buy)]; of those up to `known_after` some may be missing.
        ticker: {} or its five fields and received_ms.
        book_update, trade_update: receive times of the newest.
        newest_diff: its exchange time.
        tick_size: as the exchange writes it.
    """
    market = max([newest_diff, *(trade[0] for trade in trades)])
    last_update = book_update
    latest = min(book_update + 2000, now + 250)
    if trades and trade_update is not None and book_update < trade_update <= latest:
        last_update = trade_update
    best_bids = [{"price": p, "qty": bids[p]} for p in sorted(bids, reverse=True)[:20]]
    best_asks = [{"price": p, "qty": asks[p]} for p in sorted(asks)[:20]]
    depth: dict[str, Any] = {
        "bids": best_bids,
        "asks": best_asks,
        "total_bid_qty": sum(level["qty"] for level in best_bids),
        "total_ask_qty": sum(level["qty"] for level in best_asks),
    }
    age = max(0, now - last_update)
    report: dict[str, Any] = {
        "schemaVersion": "2.0",
        "writer": {"nodeId": node_id, "writerToken": token},
        "updatedAt": now,
        "symbol": "BTCUSDT",
        "venue": "binance",
        "data_age_ms": age,
        "ingestion": {
            "last_update": last_update,
            "status": "ok" if age < 1000 else "degraded",
            "fresh": age < 1000,
            "exchange_time": market,
        },
        "depth": depth,
    }
    if not best_bids or not best_asks:
        report["ingestion"]["status"] = "degraded"
    if age >= 2000:
        report["ingestion"]["status"] = "down"
    if best_bids:
        report["best_bid"] = best_bids[0]
    if best_asks:
        report["best_ask"] = best_asks[0]
    balance_score = spread_score = 0.0
    if best_bids and best_asks:
        bid, bid_qty = best_bids[0]["price"], best_bids[0]["qty"]
        ask, ask_qty = best_asks[0]["price"], best_asks[0]["qty"]
        low, low_qty, high, high_qty = map(exact, (bid, bid_qty, ask, ask_qty))
        report["mid_price"] = _price((low + high) / 2, tick_size)
        report["spread_bps"] = float((high - low) / ((low + high) / 2) * 10000)
        report["micro_price"] = _price((low * high_qty + high * low_qty) / (low_qty + high_qty), tick_size)
        total = depth["total_bid_qty"] + depth["total_ask_qty"]
        depth["imbalance"] = (depth["total_bid_qty"] - depth["total_ask_qty"]) / total
        balance_score = 20 * (1 - abs(depth["imbalance"]))
        spread_score = 30 * (20 - min(20, max(1, report["spread_bps"]))) / 19
    report["flow"] = {"window_sec": max(0, min(30_000, market - known_after)) // 1000}
    if known_after <= market - 10_000:
        report["flow"]["orders_per_sec"] = sum(1 for t, _, _, _ in trades if market - 10_000 < t <= market) / 10
    if known_after <= market - 30_000:
        report["flow"]["net_flow"] = sum(q if buy else -q for t, _, q, buy in trades if market - 30_000 < t <= market)
    if ticker and abs(now - ticker["received_ms"]) > 60_000:
        ticker = {}
    if trades:
        in_order = sorted(trades, key=lambda trade: trade[0])
        report["last_price"] = in_order[-1][1]
    elif ticker and ticker["last"]:
        report["last_price"] = ticker["last"]
    if ticker:
        report["change_24h_pct"] = ticker["change_pct"]
        report["volume_24h"] = ticker["volume"]
        if ticker["high"]:
            report["high_24h"] = ticker["high"]
        if ticker["low"]:
            report["low_24h"] = ticker["low"]
    fresh_score = 40 * (2000 - min(2000, max(300, age))) / 1700
    report["health"] = {
        "score": fresh_score + spread_score + balance_score,
        "components": [
            {"metric": "freshness", "score": fresh_score},
            {"metric": "spread", "score": spread_score},
            {"metric": "depth_balance", "score": balance_score},
            {"metric": "anomalies", "score": 0.0},
        ],
    }
    return report


def _price(value: Decimal, tick_size: str | None) -> float:
    """Two decimals more than the tick has; without a tick as it is."""
    if tick_size is None:
        return float(value)
    written = Decimal(tick_size).normalize().as_tuple().exponent
    return float(round(value, max(0, -int(written)) + 2))
