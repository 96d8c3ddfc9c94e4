"""What can be put into a market so that it shows: a wall, a vacuum, a spoofer, an iceberg, a crash.

A plant holds some prices: while it is there the market's random orders leave them alone, and the fair price stands
still so that the market does not run away from it. Everything else goes on. The book stays one that an exchange can
have: it never crosses, and the diffs say all that a plant does.

Distances are in ticks from the best price outwards. Quantities are in terms of what the book holds, since a reader of
the market judges them so too: by P95, the 95th percentile of the quantities of all its levels.
"""

from __future__ import annotations

from typing import Any

from tools.simulator.plants.crash import Crash, PlantedCrash
from tools.simulator.plants.iceberg import Iceberg, PlantedIceberg
from tools.simulator.plants.plant import BadPlant, Plant
from tools.simulator.plants.spoofer import PlantedSpoofer, Spoofer
from tools.simulator.plants.vacuum import PlantedVacuum, Vacuum
from tools.simulator.plants.wall import PlantedWall, Wall

__all__ = [
    "PLANTS",
    "BadPlant",
    "Crash",
    "Iceberg",
    "Plant",
    "PlantedCrash",
    "PlantedIceberg",
    "PlantedSpoofer",
    "PlantedVacuum",
    "PlantedWall",
    "Spoofer",
    "Vacuum",
    "Wall",
]

PLANTS: dict[str, tuple[type[Any], type[Any]]] = {
    "wall": (Wall, PlantedWall),
    "vacuum": (Vacuum, PlantedVacuum),
    "spoofer": (Spoofer, PlantedSpoofer),
    "iceberg": (Iceberg, PlantedIceberg),
    "crash": (Crash, PlantedCrash),
}
"""Name -> its parameters and the plant that takes them."""
