"""One line of the table of symbols, made from a report. No I/O."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tickfence.analytics.freshness import Freshness
from tickfence.analytics.report import SCHEMA_VERSION, Ingestion, Status


class Row(Struct, frozen=True, rename="camel", gc=False):
    """One symbol in brief; what its report leaves out is null. Without a report only symbol, status and owner are set."""

    symbol: str
    status: Annotated[Status, Meta(description="As it is now, not as it was when the report was written.")] = "down"
    price: float | None = None
    change_pct: Annotated[float | None, Meta(description="Over 24 h, percent.")] = None
    spread_bps: float | None = None
    imbalance: float | None = None
    net_flow: float | None = None
    orders_per_sec: float | None = None
    health: float | None = None
    age_ms: Annotated[int | None, Meta(description="Age of the market data when this was sent.")] = None
    owner: Annotated[str | None, Meta(description="Node that wrote the report; without one, the assigned node.")] = None
    token: Annotated[int | None, Meta(description="Fencing token of that writer.")] = None
    updated_at: Annotated[int | None, Meta(description="When the report was written, ms.")] = None


class _Writer(Struct, frozen=True, rename="camel", gc=False):
    node_id: str
    writer_token: int


class _Depth(Struct, frozen=True, gc=False):
    imbalance: float | None = None


class _Flow(Struct, frozen=True, gc=False):
    orders_per_sec: float | None = None
    net_flow: float | None = None


class _Health(Struct, frozen=True, gc=False):
    score: float


class Head(Struct, frozen=True, gc=False):
    """The part of a report that a row shows; the rest, most of it, is skipped when decoding."""

    schema_version: Literal["1.1"] = msgspec.field(name="schemaVersion")
    updated_at: int = msgspec.field(name="updatedAt")
    ingestion: Ingestion
    writer: _Writer
    health: _Health
    depth: _Depth = _Depth()
    flow: _Flow = _Flow()
    last_price: float | None = None
    change_24h_pct: float | None = None
    spread_bps: float | None = None


_decode = msgspec.json.Decoder(Head).decode


class BadReport(ValueError):
    """What stands at a report's key is no report, or one of another schema version."""


def decode_head(symbol: str, report: bytes) -> Head:
    """The head of a report's JSON, in one line as nodes write it: so it can be sent on as it is.

    Raises:
        BadReport: it is none.
    """
    if not report.endswith(b"}") or b"\n" in report or b"\r" in report:
        raise BadReport(f"report:{symbol} holds no report: it is not one line with a JSON object")
    try:
        return _decode(report)
    except msgspec.DecodeError as error:
        raise BadReport(f"report:{symbol} holds no report of schema version {SCHEMA_VERSION}: {error}") from error


def row(symbol: str, head: Head, fresh: Freshness) -> Row:
    """The row of a symbol whose report is ``head``."""
    return Row(
        symbol=symbol,
        status=fresh.status,
        price=head.last_price,
        change_pct=head.change_24h_pct,
        spread_bps=head.spread_bps,
        imbalance=head.depth.imbalance,
        net_flow=head.flow.net_flow,
        orders_per_sec=head.flow.orders_per_sec,
        health=head.health.score,
        age_ms=fresh.data_age_ms,
        owner=head.writer.node_id,
        token=head.writer.writer_token,
        updated_at=head.updated_at,
    )
