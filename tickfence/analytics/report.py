"""The report of one symbol: its typed model, and how it is built from the warm state.

`Report` is the published contract (docs/report.md, docs/report.schema.json). A field that lacks data is left out: a
report has no null, NaN, Infinity or negative zero. Rounding is Python's round(): to the nearest, and to the even digit
where the number is exactly halfway.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, cast, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tickfence.analytics.anomalies import AnyAnomaly
from tickfence.analytics.fields import (
    QUANTITY_DECIMALS,
    Milliseconds,
    Price,
    Quantity,
    computed_price,
    number,
    price,
)
from tickfence.analytics.flow import Flow, flow
from tickfence.analytics.health import Health, health
from tickfence.analytics.liquidity import Liquidity
from tickfence.analytics.market import DEPTH_LEVELS, Market, micro_price, mid_price
from tickfence.analytics.slow_cycle import encode_json
from tickfence.analytics.symbol_state import SymbolState, Ticker24h
from tickfence.instrument import PATTERN, split

SCHEMA_VERSION: Literal["2.0"] = "2.0"
Status = Literal["ok", "degraded", "down"]
Trading = Literal["trading", "halted", "delisted"]
OK_MS = 1000
"""Data younger than this is `ok`."""
DEGRADED_MS = 2000
"""Data younger than this, but not ok, is `degraded`; older is `down`."""

SLOW_MAX_AGE_MS = 30_000
"""Slow sections older than this are left out."""

TICKER_MAX_AGE_MS = 60_000
"""24 h statistics older than this are left out. The exchange sends them once a second."""

RATIO_DECIMALS = 4

_SPREAD_DIGITS = 6
_TRADING: dict[str | None, Trading] = {word: word for word in get_args(Trading)}
_NO_TICKER = Ticker24h()


class Writer(Struct, frozen=True, rename="camel", gc=False):
    """Who wrote the report, under which fencing token."""

    node_id: str
    writer_token: Annotated[int, Meta(ge=1)]


class Ingestion(Struct, frozen=True, gc=False):
    """Whether market data flows.

    Times are ms: `exchange_time` is the exchange's time of the newest diff, where windows end; `last_update` the receive time of the newest data, or
    that of a stopped book.
    """

    status: Status
    fresh: bool
    exchange_time: Milliseconds
    last_update: Milliseconds | UnsetType = UNSET
    trading: Trading | UnsetType = UNSET


class Level(Struct, frozen=True, gc=False):
    """One price level."""

    price: Price
    qty: Quantity


class Depth(Struct, frozen=True):
    """The 20 best levels of each side, best first."""

    bids: Annotated[list[Level], Meta(max_length=DEPTH_LEVELS)]
    asks: Annotated[list[Level], Meta(max_length=DEPTH_LEVELS)]
    total_bid_qty: Quantity | UnsetType = UNSET
    total_ask_qty: Quantity | UnsetType = UNSET
    imbalance: Annotated[float, Meta(ge=-1, le=1)] | UnsetType = UNSET


class Report(Struct, frozen=True, kw_only=True):
    """One symbol's market report, schema version 2.0."""

    schema_version: Literal["2.0"] = msgspec.field(name="schemaVersion")
    writer: Writer
    updated_at: Milliseconds = msgspec.field(name="updatedAt")
    symbol: Annotated[str, Meta(pattern=f"^{PATTERN}$")]
    venue: str
    base: str | UnsetType = UNSET
    quote: str | UnsetType = UNSET
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
    flow: Flow
    liquidity: Liquidity | UnsetType = UNSET
    anomalies: list[AnyAnomaly] | UnsetType = UNSET
    health: Health
    extensions: dict[str, dict[str, Any]] | UnsetType = UNSET


def build(state: SymbolState, now_ms: int, node_id: str, writer_token: int) -> bytes:
    """The report as JSON; arguments and errors as of make()."""
    return encode(make(state, now_ms, node_id, writer_token))


def encode(report: Report) -> bytes:
    """The report as JSON."""
    return encode_json(report)


def make(state: SymbolState, now_ms: int, node_id: str, writer_token: int) -> Report:
    """The report, from the warm state alone.

    Args:
        state: the symbol's state, with everything that is new already applied.
        now_ms: ms since the epoch on the clock of the receive times (the Redis server's).
        node_id: the node that will write the report.
        writer_token: its fencing token for this symbol.

    Raises:
        NotPublishable: the book has a gap, no snapshot, or sides that cross.
    """
    state.forget_times_ahead(now_ms)
    market = Market(state, now_ms)
    bids = list(map(Level, market.bid_prices, market.bid_quantities))
    asks = list(map(Level, market.ask_prices, market.ask_quantities))
    mid = micro = None
    if market.two_sided:
        bid, ask = bids[0], asks[0]
        mid = mid_price(bid.price, ask.price)
        micro = micro_price(bid.price, bid.qty, ask.price, ask.qty)
    last_update_ms = state.last_update_ms
    age_ms = None if last_update_ms is None else max(0, now_ms - last_update_ms)
    slow = state.slow if state.slow and abs(now_ms - state.slow.computed_at) <= SLOW_MAX_AGE_MS else None
    # Where the book stands still, a level that trades and never changes is no iceberg.
    judged = None if state.book_stopped else slow
    ticker, decimals = state.ticker, state.price_decimals
    if ticker is None or abs(now_ms - ticker.received_ms) > TICKER_MAX_AGE_MS:
        ticker = _NO_TICKER
    last_price = state.trades.last_price
    if last_price is None:
        last_price = ticker.last
    return Report(
        schema_version=SCHEMA_VERSION,
        writer=Writer(node_id, writer_token),
        updated_at=now_ms,
        symbol=state.symbol,
        venue=split(state.symbol)[0],
        base=state.base or UNSET,
        quote=state.quote or UNSET,
        generated_at=_iso(now_ms),
        data_age_ms=UNSET if age_ms is None else age_ms,
        ingestion=Ingestion(
            _status(age_ms, market.two_sided),
            age_ms is not None and age_ms < OK_MS,
            market.market_ms,
            UNSET if last_update_ms is None else last_update_ms,
            _TRADING.get(state.trading, UNSET),
        ),
        last_price=price(last_price),
        change_24h_pct=number(ticker.change_pct),
        high_24h=price(ticker.high),
        low_24h=price(ticker.low),
        volume_24h=number(ticker.volume, lowest=0.0),
        best_bid=bids[0] if bids else UNSET,
        best_ask=asks[0] if asks else UNSET,
        spread_bps=_basis_points(market.spread_bps),
        mid_price=computed_price(mid, decimals),
        micro_price=computed_price(micro, decimals),
        depth=Depth(
            bids,
            asks,
            number(market.bid_total, QUANTITY_DECIMALS),
            number(market.ask_total, QUANTITY_DECIMALS),
            number(market.imbalance, RATIO_DECIMALS),
        ),
        flow=flow(market),
        # Raw bytes that were encoded from the very types that the model names.
        liquidity=cast(Liquidity, slow.liquidity) if slow else UNSET,
        anomalies=cast(list[AnyAnomaly], judged.anomalies) if judged else UNSET,
        health=health(age_ms, market.spread_bps, market.imbalance, judged.severities if judged else None),
    )


def _status(age_ms: int | None, both_sides: bool) -> Status:
    if age_ms is None or age_ms >= DEGRADED_MS:
        return "down"
    return "ok" if both_sides and age_ms < OK_MS else "degraded"


def _basis_points(spread: float | None) -> float | UnsetType:
    """4 decimals, and below 10 basis points 6 digits: a tick of an expensive instrument is less than 0.01 of them."""
    if spread is None or spread >= 10:
        return number(spread, RATIO_DECIMALS)
    return float(f"{spread:.{_SPREAD_DIGITS}g}")


def _iso(now_ms: int) -> str:
    seconds, milliseconds = divmod(now_ms, 1000)
    return f"{_iso_second(seconds)}.{milliseconds:03d}Z"


# The reports of all symbols are of this second and the one before.
@lru_cache(maxsize=4)
def _iso_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
