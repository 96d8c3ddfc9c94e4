"""The report of one symbol: its typed model, and how it is put together from the warm state.

`Report` is the published contract (docs/report.md, docs/report.schema.json). A field that lacks data is left out:
there is no null, NaN, Infinity or negative zero in a report. Rounding is Python's round(): to the nearest, and to the
even digit where the number is exactly halfway.
"""

from datetime import UTC, datetime
from functools import lru_cache
from math import inf, isfinite
from typing import Annotated, Literal, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tickfence.analytics import depth, flow, health, spread
from tickfence.analytics.sections import Anomaly, Liquidity, Milliseconds, Price, Quantity, encode_json
from tickfence.analytics.symbol_state import SymbolState
from tickfence.instrument import PATTERN

SCHEMA_VERSION: Literal["1.1"] = "1.1"
Status = Literal["ok", "degraded", "down"]
OK_MS = 1000
"""Data younger than this is `ok`."""
DEGRADED_MS = 2000
"""Data younger than this, but not ok, is `degraded`; older is `down`."""

SLOW_MAX_AGE_MS = 30_000
"""Slow sections older than this are left out."""

PRICE_DECIMALS = 8
QUANTITY_DECIMALS = 8
RATIO_DECIMALS = 4


class Writer(Struct, frozen=True, rename="camel", gc=False):
    """Who wrote the report, under which fencing token."""

    node_id: str
    writer_token: Annotated[int, Meta(ge=1)]


class Ingestion(Struct, frozen=True, gc=False):
    """Whether market data flows; last_update is the receive time (ms) of the newest, or of a book that has stopped."""

    status: Status
    last_update: Milliseconds | UnsetType = UNSET


class Level(Struct, frozen=True, gc=False):
    """One price level."""

    price: Price
    qty: Quantity


class Depth(Struct, frozen=True):
    """The 20 best levels of each side, best first."""

    bids: Annotated[list[Level], Meta(max_length=depth.DEPTH_LEVELS)]
    asks: Annotated[list[Level], Meta(max_length=depth.DEPTH_LEVELS)]
    total_bid_qty: Quantity | UnsetType = UNSET
    total_ask_qty: Quantity | UnsetType = UNSET
    imbalance: Annotated[float, Meta(ge=-1, le=1)] | UnsetType = UNSET


class Flow(Struct, frozen=True, gc=False):
    """Trading over the last 10 and 30 seconds."""

    orders_per_sec: Annotated[float, Meta(ge=0)]
    net_flow: float | UnsetType = UNSET


class Component(Struct, frozen=True, gc=False):
    """One part of the health score."""

    metric: Literal["freshness", "spread", "depth_balance", "anomalies"]
    score: Annotated[float, Meta(ge=0, le=40)]


class Health(Struct, frozen=True):
    """The sum of its components, 0 to 100."""

    score: Annotated[float, Meta(ge=0, le=100)]
    components: list[Component]


class Report(Struct, frozen=True, kw_only=True):
    """One symbol's market report, schema version 1.1."""

    schema_version: Literal["1.1"] = msgspec.field(name="schemaVersion")
    writer: Writer
    updated_at: Milliseconds = msgspec.field(name="updatedAt")
    symbol: Annotated[str, Meta(pattern=f"^{PATTERN}$")]
    venue: str
    generated_at: str
    data_age_ms: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    ingestion: Ingestion
    last_price: Price | UnsetType = UNSET
    change_24h_pct: float | UnsetType = UNSET
    high_24h: Price | UnsetType = UNSET
    low_24h: Price | UnsetType = UNSET
    volume_24h: Quantity | UnsetType = UNSET
    best_bid: Level | UnsetType = UNSET
    best_ask: Level | UnsetType = UNSET
    spread_bps: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    mid_price: Price | UnsetType = UNSET
    micro_price: Price | UnsetType = UNSET
    depth: Depth
    flow: Flow | UnsetType = UNSET
    liquidity: Liquidity | UnsetType = UNSET
    anomalies: list[Anomaly] | UnsetType = UNSET
    health: Health


def build(state: SymbolState, now_ms: int, node_id: str, writer_token: int, venue: str = "binance") -> bytes:
    """The report as JSON, from the warm state alone.

    Args:
        state: the symbol's state, with everything that is new already applied.
        now_ms: ms since the epoch on the clock that receive times are on (the Redis server's).
        node_id: the node that will write the report.
        writer_token: its fencing token for this symbol.
        venue: the exchange.

    Raises:
        NotPublishable: the book has a gap, no snapshot, or sides that cross.
    """
    state.require_publishable()
    bid_prices, bid_quantities = state.book.bids.top(depth.DEPTH_LEVELS)
    ask_prices, ask_quantities = state.book.asks.top(depth.DEPTH_LEVELS)
    bids, asks = list(map(Level, bid_prices, bid_quantities)), list(map(Level, ask_prices, ask_quantities))
    both_sides = bool(bids and asks)
    mid = micro = spread_bps = None
    if both_sides:
        bid, ask = bid_prices[0], ask_prices[0]
        mid = spread.mid_price(bid, ask)
        micro = spread.micro_price(bid, bid_quantities[0], ask, ask_quantities[0])
        spread_bps = spread.spread_bps(bid, ask)
    total_bid, total_ask = depth.total_quantity(bid_quantities), depth.total_quantity(ask_quantities)
    imbalance = depth.imbalance(total_bid, total_ask)
    last_update_ms = state.last_update_ms
    age_ms = None if last_update_ms is None else max(0, now_ms - last_update_ms)
    slow = state.slow if state.slow and abs(now_ms - state.slow.computed_at) <= SLOW_MAX_AGE_MS else None
    # A level that trades and never changes is no iceberg where the book stands still.
    judged = None if state.book_stopped else slow
    ticker = state.ticker
    last_price = state.trades.last_price
    if last_price is None and ticker is not None:
        last_price = ticker.last
    report = Report(
        schema_version=SCHEMA_VERSION,
        writer=Writer(node_id, writer_token),
        updated_at=now_ms,
        symbol=state.symbol,
        venue=venue,
        generated_at=_iso(now_ms),
        data_age_ms=UNSET if age_ms is None else age_ms,
        ingestion=Ingestion(_status(age_ms, both_sides), UNSET if last_update_ms is None else last_update_ms),
        last_price=_price(last_price),
        change_24h_pct=_number(ticker and ticker.change_pct),
        high_24h=_price(ticker and ticker.high),
        low_24h=_price(ticker and ticker.low),
        volume_24h=_number(ticker and ticker.volume, lowest=0.0),
        best_bid=bids[0] if bids else UNSET,
        best_ask=asks[0] if asks else UNSET,
        spread_bps=_number(spread_bps, RATIO_DECIMALS),
        mid_price=_price(mid, PRICE_DECIMALS),
        micro_price=_price(micro, PRICE_DECIMALS),
        depth=Depth(
            bids,
            asks,
            _number(total_bid, QUANTITY_DECIMALS),
            _number(total_ask, QUANTITY_DECIMALS),
            _number(imbalance, RATIO_DECIMALS),
        ),
        flow=_flow(state, now_ms),
        # Raw bytes that were encoded from the very types that the model names.
        liquidity=cast(Liquidity, slow.liquidity) if slow else UNSET,
        anomalies=cast(list[Anomaly], judged.anomalies) if judged else UNSET,
        health=_health(age_ms, spread_bps, imbalance, judged.severities if judged else None),
    )
    return encode_json(report)


def _status(age_ms: int | None, both_sides: bool) -> Status:
    if age_ms is None or age_ms >= DEGRADED_MS:
        return "down"
    return "ok" if both_sides and age_ms < OK_MS else "degraded"


def _flow(state: SymbolState, now_ms: int) -> Flow | UnsetType:
    if not len(state.trades):
        return UNSET
    return Flow(
        flow.orders_per_sec(state.trades, now_ms), _number(flow.net_flow(state.trades, now_ms), QUANTITY_DECIMALS)
    )


def _health(
    age_ms: int | None,
    spread_bps: float | None,
    imbalance: float | None,
    severities: list[health.Severity] | None,
) -> Health:
    components = [
        Component("freshness", health.freshness(age_ms)),
        Component("spread", health.spread(spread_bps)),
        Component("depth_balance", health.depth_balance(imbalance)),
        Component("anomalies", health.anomalies(severities)),
    ]
    return Health(round(sum([component.score for component in components]), 1), components)


def _number(value: float | None, decimals: int | None = None, lowest: float = -inf) -> float | UnsetType:
    if value is None or not isfinite(value) or value < lowest:
        return UNSET
    # Adding 0.0 turns a negative zero, which rounding can make, into zero.
    return (value if decimals is None else round(value, decimals)) + 0.0


def _price(value: float | None, decimals: int | None = None) -> float | UnsetType:
    number = _number(value, decimals)
    return number if number is UNSET or number > 0 else UNSET


def _iso(now_ms: int) -> str:
    seconds, milliseconds = divmod(now_ms, 1000)
    return f"{_iso_second(seconds)}.{milliseconds:03d}Z"


# The reports of all symbols are of this second and the one before.
@lru_cache(maxsize=4)
def _iso_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
