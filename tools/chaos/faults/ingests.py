"""What happens to ingests."""

from __future__ import annotations

import signal
import time

from tools.chaos.kind import TWO_PERIODS_MS, Kind
from tools.chaos.scene import Scene
from tools.local.roles import INGESTS


def ingest_kill(scene: Scene) -> None:
    role = scene.chance.choice(INGESTS)
    at = scene.lab.signal(role, signal.SIGKILL)
    scene.recovered(scene.hurt("ingest-kill", at, scene.symbols, victim=role), steady_s=2.0)
    scene.check_streams(since=at)
    scene.lab.start_role(role)
    time.sleep(2.0)


KINDS = (Kind("ingest-kill", TWO_PERIODS_MS, ingest_kill, "SIGKILL of one of two ingests"),)
