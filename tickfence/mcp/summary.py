"""A report as a few lines of plain text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec import UNSET, json

from tickfence.analytics.fields import Finding
from tickfence.analytics.flow import Flow
from tickfence.analytics.liquidity import findings
from tickfence.analytics.report import Level
from tickfence.mcp.sections import SECTIONS, without
from tickfence.readers.pairs import AcrossVenues, Best
from tickfence.readers.reports import FreshReport
from tickfence.readers.rows import Row


def report_text(report: FreshReport, sections: Collection[str] = SECTIONS) -> str:
    """Return the report, one subject a line; what it leaves out is left out here.

    Args:
        report: The report.
        sections: Those of `SECTIONS` that are told.
    """
    lines = [f"{report.symbol} on {report.venue}, {_age(report)}"]
    if report.ingestion.trading in ("halted", "delisted"):
        lines.append(f"{report.ingestion.trading} by the exchange: prices are those from before")
    for section, told in _TOLD.items():
        if section in sections:
            lines += told(report)
    for name, found in findings(report.liquidity) if report.liquidity is not UNSET else ():
        if name.replace(" ", "_") in sections:
            lines.append(f"{name}: {'; '.join(map(_note, found))}")
    if "anomalies" in sections:
        lines += [f"anomaly: {anomaly.kind}, {_note(anomaly)}" for anomaly in report.anomalies or ()]
    if "health" in sections:
        components = ", ".join(f"{part.metric} {part.score:g}" for part in report.health.components)
        lines.append(f"health {report.health.score:g} of 100 ({components})")
    if "extensions" in sections:
        lines += [f"{name}: {json.encode(found).decode()}" for name, found in (report.extensions or {}).items()]
    lines.append(f"written by {report.writer.node_id}, token {report.writer.writer_token}")
    if others := without(sections):
        lines.append(f"not asked for: {', '.join(others)}")
    return "\n".join(lines)


def table_text(rows: Iterable[Row]) -> str:
    """Return several symbols side by side."""
    lines = [
        "symbol | status | price | change % | spread bps | imbalance | net flow | trades/s | health | age ms | trading"
    ]
    for row in rows:
        flow = (row.imbalance, row.net_flow, row.orders_per_sec)
        values = (row.price, row.change_pct, row.spread_bps, *flow, row.health, row.age_ms)
        numbers = ["-" if value is None else f"{value:.10g}" for value in values]
        lines.append(" | ".join((row.symbol, row.status, *numbers, row.trading or "-")))
    return "\n".join(lines)


def pair_text(found: AcrossVenues) -> str:
    """Return a pair on its venues: a line for the best of all, and one for each of its symbols."""
    bid, ask = found.best_bid, found.best_ask
    lines = [f"{found.pair}: best bid {_best(bid)}, best ask {_best(ask)}{_apart(found.spread_bps)}"]
    for quote in found.venues:
        age = "age unknown" if quote.age_ms is None else f"{quote.age_ms} ms old"
        prices = f"bid {_level(quote.bid)}, ask {_level(quote.ask)}, {age}" if quote.bid or quote.ask else "no prices"
        lines.append(f"{quote.symbol}: {prices}" + (f"; does not count: {quote.reason}" if quote.reason else ""))
    return "\n".join(lines)


def _best(best: Best | None) -> str:
    return f"{_level(best)} at {best.symbol}" if best else "none that is fresh"


def _level(level: Level | Best | None) -> str:
    return f"{level.price:,.10g} ({level.qty:g})" if level else "none"


def _apart(spread_bps: float | None) -> str:
    if spread_bps is None:
        return ""
    if spread_bps < 0:
        return f"; crossed: the bid is {-spread_bps:g} bps above the ask, without fees"
    return f", {spread_bps:g} bps apart"


def _price(report: FreshReport) -> list[str]:
    if report.last_price is UNSET:
        return []
    change = "" if report.change_24h_pct is UNSET else f", {report.change_24h_pct:+g} % in 24 h"
    return [f"price {report.last_price:,.10g}{change}"]


def _quote(report: FreshReport) -> list[str]:
    bid, ask = report.best_bid, report.best_ask
    if bid is UNSET or ask is UNSET:
        return []
    return [
        f"bid {bid.price:,.10g} ({bid.qty:g}), ask {ask.price:,.10g} ({ask.qty:g}), spread {report.spread_bps:g} bps"
    ]


def _depth(report: FreshReport) -> list[str]:
    depth = report.depth
    if depth.imbalance is UNSET:
        return []
    return [
        f"depth of {len(depth.bids)} levels: {depth.total_bid_qty:g} bid, {depth.total_ask_qty:g} ask, "
        f"imbalance {depth.imbalance:+g}"
    ]


_TOLD: Mapping[str, Callable[[FreshReport], list[str]]] = {
    "price": _price,
    "quote": _quote,
    "depth": _depth,
    "flow": lambda report: [_flow(report.flow)],
}


def _flow(flow: Flow) -> str:
    if flow.orders_per_sec is UNSET:
        return f"flow left out: trades are known for {flow.window_sec} s, it needs 10 s"
    rate = f"{flow.orders_per_sec:g} trades a second"
    if flow.net_flow is UNSET:
        return f"{rate}; net flow left out: trades are known for {flow.window_sec} s of the 30 s that it needs"
    return f"{rate}, net aggressive volume {flow.net_flow:+g} in 30 s"


def _age(report: FreshReport) -> str:
    fresh = report.freshness
    if fresh.stale:
        return f"STALE, do not act on it: {fresh.reason}"
    return f"{fresh.status}, market data {fresh.data_age_ms} ms old"


def _note(finding: Finding) -> str:
    severity = getattr(finding, "severity", None)
    return f"{severity}, {finding.note}" if severity else finding.note
