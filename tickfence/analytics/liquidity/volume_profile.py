"""Volume profile: at which prices the last 30 minutes were traded.

Source of the terms (point of control, value area of 70 % of volume grown from it): J. Peter Steidlmayer's Market
Profile, as in the CBOT's "A Six-Part Study Guide to Market Profile" (1991).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec import UNSET, UnsetType

from tickfence.analytics.fields import Count, Finding, Price, Quantity, price_decimals, readable
from tickfence.analytics.market import SlowMarket
from tickfence.analytics.trade_window import TradeWindow

ORDER = 3
WINDOW_MS = 30 * 60_000
MIN_TRADES = 10
TICKS_PER_BIN = 5
VALUE_AREA_PERCENT = 70
UNITS = 1e8
"""Volumes are summed as whole numbers of 1e-8, the exchange's smallest quantity, so sums have no rounding errors."""


class VolumeProfile(Finding, frozen=True):
    """At which prices the volume of the last 30 minutes was traded, or of the `window_sec` that are covered."""

    POC: Price
    VAL: Quantity
    VAH: Price
    window_sec: Count
    trade_count: Count

    @property
    def note(self) -> str:
        """Like "POC 100.025, value area 100 to 100.1, 13 trades in 30 min"."""
        area = f"{readable(self.VAL)} to {readable(self.VAH)}"
        minutes, seconds = divmod(self.window_sec, 60)
        time = f"{minutes} min" if minutes else f"{seconds} s"
        return f"POC {readable(self.POC)}, value area {area}, {self.trade_count} trades in {time}"


def find(market: SlowMarket) -> VolumeProfile | UnsetType:
    """The profile; UNSET without a tick size or with fewer than 10 trades."""
    rolling = market.state.profile
    if rolling is None:
        return UNSET
    rolling.update(market.trades, market.market_ms)
    profile = rolling.profile(market.trades, market.market_ms)
    return UNSET if profile is None else profile


class RollingVolumeProfile:
    """Histogram of traded volume by price bin, updated with the trades that enter and leave the window.

    A bin is 5 ticks wide: bin k holds the prices of ticks 5k to 5k + 4 and spans [5k, 5k + 5) ticks. Volumes are Python
    integers, so removing a trade restores the exact volume before it, and equal volumes are really equal.
    """

    __slots__ = ("_decimals", "_first", "_last", "_reordered", "_units", "tick_size")

    def __init__(self, tick_size: float) -> None:
        """tick_size: the smallest price step, > 0, from the exchange."""
        if not tick_size > 0:
            raise ValueError(f"tick size must be above 0, not {tick_size}")
        self.tick_size = tick_size
        self._decimals = price_decimals(tick_size)
        self._units: dict[float, int] = {}
        self._first = self._last = 0
        self._reordered = 0

    def update(self, trades: TradeWindow, now_ms: int) -> None:
        """Updates the histogram to the trades of (now - 30 min, now], or of the covered part of it."""
        first, last = trades.between(max(now_ms - WINDOW_MS, trades.complete_after_ms), now_ms)
        gone = self._first < trades.discarded or first >= self._last
        if gone or trades.reordered != self._reordered or first < self._first or last < self._last:
            # Trades cannot be removed one by one: they were dropped, have other numbers now, or time went back. Or all
            # of them leave.
            self._units.clear()
            self._first = self._last = first
            self._reordered = trades.reordered
        for price_bin, units in self._binned(trades, self._last, last):
            self._units[price_bin] = self._units.get(price_bin, 0) + units
        for price_bin, units in self._binned(trades, self._first, first):
            self._units[price_bin] -= units
            if not self._units[price_bin]:
                del self._units[price_bin]
        self._first, self._last = first, last

    def profile(self, trades: TradeWindow, now_ms: int) -> VolumeProfile | None:
        """POC, VAL and VAH of the trades at the last update(); None with fewer than 10 trades."""
        count = self._last - self._first
        if count < MIN_TRADES or not self._units:
            return None
        poc, low, high = value_area(self._units)
        width = TICKS_PER_BIN * self.tick_size
        return VolumeProfile(
            POC=round((poc + 0.5) * width, self._decimals),
            VAL=round(low * width, self._decimals) + 0.0,
            VAH=round((high + 1) * width, self._decimals),
            window_sec=covered_ms(trades, now_ms) // 1000,
            trade_count=count,
        )

    @property
    def bin_width(self) -> float:
        """Width of a bin, in quote currency."""
        return round(TICKS_PER_BIN * self.tick_size, self._decimals)

    def bins(self) -> list[tuple[float, float]]:
        """(lower edge, volume) of each bin with trades at the last update(), by rising price."""
        width = TICKS_PER_BIN * self.tick_size
        return [(round(low * width, self._decimals) + 0.0, units / UNITS) for low, units in sorted(self._units.items())]

    def _binned(self, trades: TradeWindow, first: int, last: int) -> Iterator[tuple[float, int]]:
        if first >= last:
            return iter(())
        bins = np.floor_divide(np.rint(trades.prices(first, last) / self.tick_size), TICKS_PER_BIN)
        units = np.rint(np.abs(trades.signed_quantities(first, last)) * UNITS)
        return (
            (price_bin, int(count)) for price_bin, count in zip(bins.tolist(), units.tolist(), strict=True) if count
        )


def covered_ms(trades: TradeWindow, now_ms: int) -> int:
    """How much of the 30 minutes before `now_ms` the trades cover."""
    return max(0, min(WINDOW_MS, now_ms - trades.complete_after_ms))


def value_area(volumes: dict[float, int]) -> tuple[float, float, float]:
    """Point of control and value area of a histogram.

    Args:
        volumes: bin number (a whole number) -> volume above 0; at least one bin. Missing bins in between are empty;
            there are no bins below the lowest and above the highest.

    Returns:
        (fullest bin, lowest bin, highest bin) of the value area. The lowest of several fullest bins counts. The area
        grows by the neighbour with more volume, on a tie by the lower one, until it holds 70 % of all volume.
    """
    bins = sorted(volumes)
    counts = list(map(volumes.__getitem__, bins))
    poc = counts.index(max(counts))
    wanted = sum(counts) * VALUE_AREA_PERCENT
    held = counts[poc] * 100
    below, above = poc - 1, poc + 1
    low = high = bins[poc]
    while held < wanted:
        below_volume = counts[below] if below >= 0 and bins[below] == low - 1 else 0
        above_volume = counts[above] if above < len(bins) and bins[above] == high + 1 else 0
        # If both neighbours are empty, ties continue downwards over all empty bins, so they are skipped at once.
        if below >= 0 and below_volume >= above_volume:
            low = bins[below]
            held += counts[below] * 100
            below -= 1
        else:
            high = bins[above]
            held += counts[above] * 100
            above += 1
    return bins[poc], low, high
