"""Walls and vacuums, level by level."""

from decimal import Decimal
from typing import Any

from tests.oracles.exact import exact

Levels = list[tuple[float, float]]


def walls(side: str, levels: Levels, p95: float | Decimal) -> list[dict[str, Any]]:
    """levels: [(price, quantity)], best first."""
    found = []
    limit = exact(p95)
    for price, quantity in levels[:1000]:
        threshold = Decimal("1.5") * limit
        if exact(quantity) < threshold:
            continue
        severity = "low"
        if exact(quantity) >= 2 * threshold:
            severity = "medium"
        if exact(quantity) >= 3 * threshold:
            severity = "high"
        found.append({"side": side, "price": price, "qty": quantity, "severity": severity})
    return found[:50]


def vacuums(bids: Levels, asks: Levels, p10: float | Decimal) -> list[dict[str, Any]]:
    """bids, asks: [(price, quantity)], best first."""
    ladder = sorted(bids[:1000] + asks[:1000])
    found: list[dict[str, Any]] = []
    run: list[float] = []
    limit = exact(p10)
    for price, quantity in [*ladder, (0.0, float(limit) + 1)]:
        if exact(quantity) < limit:
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
