"""Flash-crash risk: the market is getting thin, lopsided and sold into at the same time."""

from __future__ import annotations

from typing import Literal

from tickfence.analytics.anomalies import Anomaly
from tickfence.analytics.limits import exceeds, reached
from tickfence.analytics.market import SlowMarket
from tickfence.analytics.trade_window import TradeWindow

WIDE_SPREAD_BPS = 20.0
LOPSIDED = 0.3
SELL_WINDOW_MS = 10_000
ACCELERATION = 2.0

Signal = Literal["wide_spread", "imbalance", "sell_acceleration"]

_IN_WORDS: dict[Signal, str] = {
    "wide_spread": "the spread is wide",
    "imbalance": "the book is lopsided",
    "sell_acceleration": "selling speeds up",
}


class FlashCrashRisk(Anomaly, frozen=True, tag="flash_crash_risk"):
    """Conditions under which prices fall through the book; `signals` names those that hold."""

    order = 3
    signals: list[Signal]

    @classmethod
    def find(cls, market: SlowMarket) -> list[FlashCrashRisk]:
        """One or none."""
        found = flash_crash_risk(market.spread_bps, market.imbalance, market.trades, market.market_ms)
        return [found] if found else []


def flash_crash_risk(
    spread_bps: float | None, imbalance: float | None, trades: TradeWindow, now_ms: int
) -> FlashCrashRisk | None:
    """Returns a risk that is medium with two of three signals, high with all three; None with fewer.

    The signals: spread above 20 bps; absolute depth imbalance above 0.3; sell flow that accelerates over the last
    10 s. A number that is None is no signal.
    """
    signals: list[Signal] = []
    if spread_bps is not None and exceeds(spread_bps, WIDE_SPREAD_BPS):
        signals.append("wide_spread")
    if imbalance is not None and exceeds(abs(imbalance), LOPSIDED):
        signals.append("imbalance")
    # Without one of the two, two signals cannot be reached and the trades need not be read.
    if signals and sells_accelerate(trades, now_ms):
        signals.append("sell_acceleration")
    if len(signals) < 2:
        return None
    *others, last = (_IN_WORDS[signal] for signal in signals)
    note = f"{', '.join(others)} and {last}."
    return FlashCrashRisk("high" if len(signals) == 3 else "medium", note[0].upper() + note[1:], signals)


def sells_accelerate(trades: TradeWindow, now_ms: int) -> bool:
    """Whether aggressive sells in (now - 5 s, now] are above 0 and at least twice those of the 5 s before.

    No, where a trade of these 10 s may be missing.

    Why twice: a sell flow that rises steadily from nothing sells three times as much in the second half as in the first.
    """
    if not trades.covers(now_ms - SELL_WINDOW_MS):
        return False
    half = SELL_WINDOW_MS // 2
    recent = _sold(trades, now_ms - half, now_ms)
    return recent > 0 and reached(recent, ACCELERATION * _sold(trades, now_ms - 2 * half, now_ms - half))


def _sold(trades: TradeWindow, after_ms: int, until_ms: int) -> float:
    signed = trades.signed_quantities(*trades.between(after_ms, until_ms))
    return -float(signed[signed < 0].sum())
