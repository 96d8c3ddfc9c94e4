"""What happens to beats."""

from __future__ import annotations

import signal
import time

from tools.chaos.kind import LEAST_FREEZE_S, MOST_FREEZE_S, TWO_PERIODS_MS, Kind
from tools.chaos.scene import Scene
from tools.local.roles import BEATS


def _end(scene: Scene, kind: str, beat: str, number: signal.Signals) -> None:
    """A beat ends, and starts again once all is well."""
    at = scene.lab.signal(beat, number)
    scene.recovered(scene.hurt(kind, at, scene.symbols, victim=beat), steady_s=2.0)
    scene.hurt("beat-join", scene.lab.start_role(beat), scene.symbols, victim=beat)
    time.sleep(3.0)


def leader_kill(scene: Scene) -> None:
    _end(scene, "beat-kill", scene.lab.leader(), signal.SIGKILL)


def leader_term(scene: Scene) -> None:
    _end(scene, "beat-term", scene.lab.leader(), signal.SIGTERM)


def leader_freeze(scene: Scene) -> None:
    beat = scene.lab.leader()
    seconds = scene.chance.uniform(LEAST_FREEZE_S, MOST_FREEZE_S)
    scene.freeze(
        beat,
        seconds,
        lambda at: scene.hurt("beat-freeze", at, scene.symbols, victim=beat, note=f"{seconds:.1f} s"),
        wake="beat-wake",
    )


def standby_kill(scene: Scene) -> None:
    leader = scene.lab.leader()
    _end(scene, "standby-kill", next(name for name in BEATS if name != leader), signal.SIGKILL)


KINDS = (
    Kind("beat-kill", 500, leader_kill, "SIGKILL of the leading beat"),
    Kind("beat-term", 500, leader_term, "SIGTERM of the leading beat"),
    Kind("beat-freeze", 1500, leader_freeze, "SIGSTOP of the leading beat, 2-10 s"),
    Kind("standby-kill", TWO_PERIODS_MS, standby_kill, "SIGKILL of the other beat"),
    Kind("beat-join", TWO_PERIODS_MS, None, "a beat starts again"),
    Kind("beat-wake", TWO_PERIODS_MS, None, "a frozen beat goes on"),
)
