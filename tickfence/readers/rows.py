"""A symbol in brief: one row of a table of symbols."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tickfence.analytics.freshness import Freshness, SymbolStatus, is_idle
from tickfence.analytics.report import Trading
from tickfence.instrument import split
from tickfence.readers.pairs import Pair
from tickfence.readers.reports import Head


class Row(Struct, frozen=True, rename="camel", gc=False):
    """One symbol in brief; what its report leaves out is null, and without a report all but symbol, venue and owner."""

    symbol: str
    status: Annotated[SymbolStatus, Meta(description="As it is now, not as it was when the report was written.")] = (
        "down"
    )
    price: float | None = None
    change_pct: Annotated[float | None, Meta(description="Over 24 h, percent.")] = None
    spread_bps: float | None = None
    imbalance: float | None = None
    net_flow: float | None = None
    orders_per_sec: float | None = None
    flow_window_sec: Annotated[
        int | None,
        Meta(description="How much of the last 30 s is covered. Net flow needs all of it, trades a second need 10 s."),
    ] = None
    health: float | None = None
    age_ms: Annotated[int | None, Meta(description="Age of the market data when this was sent.")] = None
    owner: Annotated[
        str | None,
        Meta(description="Node that wrote the report; without a report, the assigned node; null while nobody is to."),
    ] = None
    token: Annotated[int | None, Meta(description="Fencing token of that writer.")] = None
    updated_at: Annotated[int | None, Meta(description="When the report was written, ms.")] = None
    trading: Annotated[
        Trading | None, Meta(description="What the exchange says of the symbol; null while that is not known.")
    ] = None
    venue: str | None = None
    pair: Annotated[str | None, Meta(description="Base and quote, like BTC-USDT.")] = None


def row(symbol: str, head: Head, fresh: Freshness) -> Row:
    """Return the row of a symbol whose report begins with ``head``."""
    return Row(
        symbol=symbol,
        status=fresh.status,
        price=head.last_price,
        change_pct=head.change_24h_pct,
        spread_bps=head.spread_bps,
        imbalance=head.depth.imbalance,
        net_flow=head.flow.net_flow,
        orders_per_sec=head.flow.orders_per_sec,
        flow_window_sec=head.flow.window_sec,
        health=head.health.score,
        age_ms=fresh.data_age_ms,
        owner=None if is_idle(fresh.status) else head.writer.node_id,
        token=head.writer.writer_token,
        updated_at=head.updated_at,
        trading=head.ingestion.trading or None,
        venue=head.venue,
        pair=Pair(head.base, head.quote).name if head.base and head.quote else None,
    )


def row_without_report(symbol: str, status: SymbolStatus, owner: str | None = None) -> Row:
    """Return the row of a symbol that has no report."""
    return Row(symbol, status, owner=owner, venue=split(symbol)[0])
