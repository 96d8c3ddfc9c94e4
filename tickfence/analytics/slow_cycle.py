"""The slow cycle: everything that need not be computed with every report."""

from msgspec import UNSET

from tickfence.analytics import depth, spread
from tickfence.analytics.flash_crash import flash_crash_risk
from tickfence.analytics.iceberg import find_icebergs
from tickfence.analytics.sections import Anomaly, Liquidity, SlowSections, encode_json, splice
from tickfence.analytics.spoofing import WINDOW_MS as CHANGES_MS
from tickfence.analytics.spoofing import find_spoofing
from tickfence.analytics.symbol_state import SymbolState
from tickfence.analytics.vacuums import SCANNED_LEVELS, find_vacuums
from tickfence.analytics.walls import find_walls


def run(state: SymbolState, now_ms: int) -> bytes:
    """Computes the slow sections, puts them into the state for the reports that follow, and returns them as JSON.

    Another node that gives the JSON to SymbolState.restore_slow() has them in its first report. A new calculator is
    one more line here.

    Raises:
        NotPublishable: the book has a gap, no snapshot, or sides that cross.
    """
    state.require_publishable()
    state.fold()
    p10, p95 = state.quantities.percentile(10), state.quantities.percentile(95)
    sections = SlowSections(now_ms, _liquidity(state, now_ms, p10, p95), _anomalies(state, now_ms, p95))
    state.slow = splice(sections)
    return encode_json(sections)


def _liquidity(state: SymbolState, now_ms: int, p10: float | None, p95: float | None) -> Liquidity:
    bids, asks = state.book.bids.columns(SCANNED_LEVELS), state.book.asks.columns(SCANNED_LEVELS)
    profile = None
    if state.profile is not None:
        state.profile.update(state.trades, now_ms)
        profile = state.profile.profile(state.trades, now_ms)
    return Liquidity(
        walls=UNSET if p95 is None else find_walls("bid", bids, p95) + find_walls("ask", asks, p95),
        vacuums=UNSET if p10 is None else find_vacuums(bids, asks, p10),
        volume_profile=UNSET if profile is None else profile,
    )


def _anomalies(state: SymbolState, now_ms: int, p95: float | None) -> list[Anomaly]:
    changes = state.changes.between(now_ms - CHANGES_MS, now_ms)
    bid_prices, bid_quantities = state.book.bids.top(depth.DEPTH_LEVELS)
    ask_prices, ask_quantities = state.book.asks.top(depth.DEPTH_LEVELS)
    found: list[Anomaly] = []
    spread_bps = None
    if bid_prices and ask_prices:
        bid, ask = bid_prices[0], ask_prices[0]
        spread_bps = spread.spread_bps(bid, ask)
        if p95 is not None:
            found += find_spoofing(changes, state.trades, now_ms, p95, bid, ask)
    found += find_icebergs(changes, state.trades, now_ms, state.book)
    imbalance = depth.imbalance(depth.total_quantity(bid_quantities), depth.total_quantity(ask_quantities))
    crash = flash_crash_risk(spread_bps, imbalance, state.trades, now_ms)
    if crash is not None:
        found.append(crash)
    return found
