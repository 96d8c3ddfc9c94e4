"""Latency and cost of a report as symbols and nodes grow.

python -m tools.benchmarks --only latency
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tools.benchmarks.capacity import Measurement, measure_size

SIZES = (
    *((symbols, 3) for symbols in (6, 30, 100, 300, 600, 1000)),
    *((symbols, 1) for symbols in (6, 100, 600)),
)
"""(symbols, nodes) of each measurement."""

FEWEST = 6
"""With so few symbols nearly all of the cost is that of the processes themselves."""


def run(seconds: float = 10.0) -> list[dict[str, Any]]:
    """Measure each size on a new stack for some ``seconds``, and print a line after each; returns the measurements."""
    measurements = []
    for symbols, nodes in SIZES:
        measurements.append(measure_size(symbols, nodes, seconds, warm_up_s=8.0))
        print(measurements[-1].line())
    _show_costs(measurements)
    return [asdict(one) for one in measurements]


def _show_costs(measurements: list[Measurement]) -> None:
    """Print how the cost of a report changes with the number of symbols, on one node.

    The second line leaves out what node and beat cost with few symbols.
    """
    of = {one.symbols: one for one in measurements if one.nodes == 1}
    print(f"a report at 600 symbols costs {of[600].cost_us / of[100].cost_us:.0%} of one at 100 (one node)")
    added = {symbols: _added_cost_us(of[FEWEST], of[symbols]) for symbols in (100, 600)}
    print(
        f"without the cost at {FEWEST} symbols: {added[600]:.0f} us at 600, {added[100]:.0f} us at 100, "
        f"that is {added[600] / added[100]:.0%}"
    )


def _added_cost_us(fewest: Measurement, more: Measurement) -> float:
    def spent(measurement: Measurement) -> float:
        return measurement.cost_us * measurement.reports_per_s

    return (spent(more) - spent(fewest)) / (more.reports_per_s - fewest.reports_per_s)
