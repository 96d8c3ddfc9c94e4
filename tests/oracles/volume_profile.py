"""Volume profile by walking bin by bin in exact numbers over all trades of the window."""

from decimal import Decimal
from fractions import Fraction


def volume_profile(trades, now, tick_size):
    """trades: [(time_ms, price, quantity, is_buy)]; returns the section as a dict, or None."""
    inside = [trade for trade in trades if now - 1_800_000 < trade[0] <= now]
    if len(inside) < 10:
        return None
    tick = Fraction(Decimal(repr(tick_size)))
    volume = {}
    for _, price, quantity, _ in inside:
        ticks = round(Fraction(Decimal(repr(price))) / tick)
        # An exchange's quantities have at most 8 decimals.
        volume[ticks // 5] = volume.get(ticks // 5, 0) + round(Fraction(Decimal(repr(quantity))) * 10**8)
    lowest, highest = min(volume), max(volume)
    fullest = max(volume.values())
    poc = min(number for number, units in volume.items() if units == fullest)
    low = high = poc
    held, wanted = fullest, Fraction(7, 10) * sum(volume.values())
    while held < wanted:
        below = volume.get(low - 1, 0) if low > lowest else None
        above = volume.get(high + 1, 0) if high < highest else None
        if above is None or (below is not None and below >= above):
            low, held = low - 1, held + below
        else:
            high, held = high + 1, held + above
    return {
        "POC": float((5 * poc + Fraction(5, 2)) * tick),
        "VAL": float(5 * low * tick),
        "VAH": float((5 * high + 5) * tick),
        "window_sec": 1800,
        "trade_count": len(inside),
    }
