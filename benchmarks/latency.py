"""Latency and cost of a report as symbols and nodes grow.

python -m benchmarks.latency [--seconds 20]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from benchmarks.capacity import look
from benchmarks.point import Point

SIZES = ((6, 3), (30, 3), (100, 3), (300, 3), (600, 3), (1000, 3), (100, 1), (300, 1), (600, 1), (1000, 1), (300, 2))
"""(symbols, nodes) of each measurement."""


def run(seconds: float, say: Callable[[str], None] = print) -> list[Point]:
    """One point for each size, on a stack of its own."""
    points = []
    for symbols, nodes in SIZES:
        found = look(symbols, nodes, seconds)
        say(found.line() if found else f"{symbols:5} symbols, {nodes} nodes: did not come up")
        if found:
            points.append(found)
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    points = run(parser.parse_args().seconds)
    cost = {(one.symbols, one.nodes): one.cost_us for one in points}
    if (100, 1) in cost and (600, 1) in cost:
        print(f"a report at 600 symbols costs {cost[600, 1] / cost[100, 1]:.0%} of one at 100 (one node)")


if __name__ == "__main__":
    main()
