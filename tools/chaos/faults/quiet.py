"""No fault at all."""

from __future__ import annotations

import time

from tools.chaos.kind import TWO_PERIODS_MS, Kind
from tools.chaos.scene import Scene


def nothing(scene: Scene) -> None:
    scene.recovered(scene.hurt("nothing", time.time(), scene.symbols), steady_s=5.0)


KINDS = (Kind("nothing", TWO_PERIODS_MS, nothing, "no fault: what this machine's other work does to the gaps"),)
