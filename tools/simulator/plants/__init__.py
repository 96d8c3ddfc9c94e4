"""Patterns that you can plant in a market for a reader to find: a wall, a vacuum, a spoofer, an iceberg, a crash.

A plant reserves some prices. While it exists, the market's random orders do not touch them, and the fair price is pinned
so that the market does not move away. Everything else continues. The book stays valid: it never crosses, and the diffs
contain everything that a plant does.

Distances are in ticks from the best price outwards. Quantities are multiples of P95, the 95th percentile of the
quantities of all levels, because a reader of the market judges them by the same measure.
"""

from __future__ import annotations

from typing import Any

from tools.simulator.plants.crash import Crash, PlantedCrash
from tools.simulator.plants.iceberg import Iceberg, PlantedIceberg
from tools.simulator.plants.levels import PlantedSpoofer, PlantedVacuum, PlantedWall, Spoofer, Vacuum, Wall

PLANTS: dict[str, tuple[type[Any], type[Any]]] = {
    "wall": (Wall, PlantedWall),
    "vacuum": (Vacuum, PlantedVacuum),
    "spoofer": (Spoofer, PlantedSpoofer),
    "iceberg": (Iceberg, PlantedIceberg),
    "crash": (Crash, PlantedCrash),
}
"""Name -> the type of its parameters, and the plant that takes them."""
