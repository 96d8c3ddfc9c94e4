"""Walls and vacuums, level by level."""

from typing import Any

Levels = list[tuple[float, float]]


def walls(side: str, levels: Levels, p95: float) -> list[dict[str, Any]]:
    """levels: [(price, quantity)], best first."""
    found = []
    for price, quantity in levels[:1000]:
        threshold = 1.5 * p95
        if quantity < threshold:
            continue
        severity = "low"
        if quantity >= 2 * threshold:
            severity = "medium"
        if quantity >= 3 * threshold:
            severity = "high"
        found.append({"side": side, "price": price, "qty": quantity, "severity": severity})
    return found[:50]


def vacuums(bids: Levels, asks: Levels, p10: float) -> list[dict[str, Any]]:
    """bids, asks: [(price, quantity)], best first."""
    ladder = sorted(bids[:1000] + asks[:1000])
    found: list[dict[str, Any]] = []
    run: list[float] = []
    for price, quantity in [*ladder, (0.0, p10)]:
        if quantity < p10:
            run.append(price)
            continue
        if len(run) >= 3:
            severity = "high" if len(run) >= 10 else "medium" if len(run) >= 6 else "low"
            found.append({"from": run[0], "to": run[-1], "levels": len(run), "severity": severity})
        run = []
    if len(found) > 100:
        lengths = sorted((vacuum["levels"] for vacuum in found), reverse=True)
        longer = [vacuum for vacuum in found if vacuum["levels"] > lengths[99]]
        as_long = [vacuum for vacuum in found if vacuum["levels"] == lengths[99]]
        found = sorted(longer + as_long[: 100 - len(longer)], key=lambda vacuum: vacuum["from"])
    return found
