"""Volume profile by walking bin by bin over all trades of the window."""

from typing import Any


def volume_profile(trades: list[Any], now: int, tick_size: float, known_after: int = 0) -> dict[str, Any] | None:
    """trades: [(time_ms, price, quantity, is_buy)], of which some up to known_after may be missing; the section or None."""
    start = max(now - 1_800_000, known_after)
    inside = [trade for trade in trades if start < trade[0] <= now]
    if len(inside) < 10:
        return None
    volume: dict[int, int] = {}
    for _, price, quantity, _ in inside:
        number = round(price / tick_size) // 5
        # An exchange's quantities have at most 8 decimals.
        volume[number] = volume.get(number, 0) + round(quantity * 10**8)
    lowest, highest = min(volume), max(volume)
    fullest = max(volume.values())
    poc = min(number for number, units in volume.items() if units == fullest)
    low = high = poc
    held, total = fullest, sum(volume.values())
    while held * 10 < total * 7:
        below = volume.get(low - 1, 0) if low > lowest else -1
        above = volume.get(high + 1, 0) if high < highest else -1
        if below >= above:
            low, held = low - 1, held + below
        else:
            high, held = high + 1, held + above
    return {
        "POC": (5 * poc + 2.5) * tick_size,
        "VAL": 5 * low * tick_size,
        "VAH": (5 * high + 5) * tick_size,
        "window_sec": (now - start) // 1000,
        "trade_count": len(inside),
    }
