"""A report as a few lines of plain text."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET

from tickfence.analytics.sections import FlashCrashRisk
from tickfence.readers.reports import FreshReport
from tickfence.readers.rows import Row


def report_text(report: FreshReport) -> str:
    """Return the report, one subject a line; what it leaves out is left out here."""
    lines = [f"{report.symbol} on {report.venue}, {_age(report)}"]
    if report.last_price is not UNSET:
        change = "" if report.change_24h_pct is UNSET else f", {report.change_24h_pct:+g} % in 24 h"
        lines.append(f"price {report.last_price:,.10g}{change}")
    if report.best_bid is not UNSET and report.best_ask is not UNSET:
        bid, ask = report.best_bid, report.best_ask
        lines.append(
            f"bid {bid.price:,.10g} ({bid.qty:g}), ask {ask.price:,.10g} ({ask.qty:g}), spread {report.spread_bps:g} bps"
        )
    if report.depth.imbalance is not UNSET:
        depth = report.depth
        lines.append(
            f"depth of {len(depth.bids)} levels: {depth.total_bid_qty:g} bid, {depth.total_ask_qty:g} ask, "
            f"imbalance {depth.imbalance:+g}"
        )
    if report.flow is not UNSET:
        net = "" if report.flow.net_flow is UNSET else f", net aggressive volume {report.flow.net_flow:+g} in 30 s"
        lines.append(f"{report.flow.orders_per_sec:g} trades a second{net}")
    lines += _liquidity(report)
    for anomaly in report.anomalies or ():
        where = (
            ", ".join(anomaly.signals)
            if isinstance(anomaly, FlashCrashRisk)
            else f"{anomaly.side} {anomaly.price:,.10g}"
        )
        lines.append(f"anomaly: {type(anomaly).__struct_config__.tag}, {anomaly.severity}, {where}")
    components = ", ".join(f"{part.metric} {part.score:g}" for part in report.health.components)
    lines.append(f"health {report.health.score:g} of 100 ({components})")
    lines.append(f"written by {report.writer.node_id}, token {report.writer.writer_token}")
    return "\n".join(lines)


def table_text(rows: Iterable[Row]) -> str:
    """Return several symbols side by side."""
    columns = (
        "symbol",
        "status",
        "price",
        "change %",
        "spread bps",
        "imbalance",
        "net flow",
        "trades/s",
        "health",
        "age ms",
    )
    lines = [" | ".join(columns)]
    for row in rows:
        values = (
            row.price,
            row.change_pct,
            row.spread_bps,
            row.imbalance,
            row.net_flow,
            row.orders_per_sec,
            row.health,
        )
        numbers = ["-" if value is None else f"{value:.10g}" for value in (*values, row.age_ms)]
        lines.append(" | ".join((row.symbol, row.status, *numbers)))
    return "\n".join(lines)


def _age(report: FreshReport) -> str:
    fresh = report.freshness
    if fresh.stale:
        return f"STALE, do not act on it: {fresh.reason}"
    return f"{fresh.status}, market data {fresh.data_age_ms} ms old"


def _liquidity(report: FreshReport) -> list[str]:
    if report.liquidity is UNSET:
        return []
    found, lines = report.liquidity, []
    if found.volume_profile is not UNSET:
        profile = found.volume_profile
        lines.append(
            f"volume profile of 30 min: POC {profile.POC:,.10g}, value area {profile.VAL:,.10g} to {profile.VAH:,.10g}"
        )
    if found.walls:
        lines.append("walls: " + "; ".join(f"{w.side} {w.price:,.10g} ({w.qty:g}, {w.severity})" for w in found.walls))
    if found.vacuums:
        lines.append("vacuums: " + "; ".join(f"{v.from_:,.10g} to {v.to:,.10g} ({v.severity})" for v in found.vacuums))
    return lines
