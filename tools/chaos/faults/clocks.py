"""Hosts whose clocks are wrong."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import msgspec

from tickfence.coordination.keys import report_key
from tools.chaos.checker import Violation
from tools.chaos.kind import Kind
from tools.chaos.outsider import Outsider
from tools.chaos.scene import Scene

OFFSETS_S = (3600, -5, -3600)
NEAR_MS = 1000
_LOOKS = 5


def faketime(places: tuple[Path, ...] = (Path("/usr/lib"), Path("/usr/local/lib"))) -> Path | None:
    """The library that gives a process another clock (https://github.com/wolfcw/libfaketime), None without one."""
    if not sys.platform.startswith("linux"):
        return None
    for place in places:
        for pattern in ("faketime", "*/faketime"):
            for found in sorted(place.glob(f"{pattern}/libfaketimeMT.so.1")):
                return found
    return None


def skewed(library: Path, offset_s: int) -> dict[str, str]:
    """Environment of a process whose wall clock is wrong; what measures durations goes on as it did."""
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{offset_s:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def time_flaw(report: bytes, now_ms: float) -> str:
    """What of a report's times cannot be, by a clock that is right, or ""."""
    times = msgspec.json.decode(report, type=_Times)
    if abs(times.updatedAt - now_ms) > NEAR_MS:
        return f"updatedAt is {times.updatedAt - now_ms:+.0f} ms from now"
    if not 0 <= times.data_age_ms <= NEAR_MS:
        return f"data_age_ms is {times.data_age_ms}"
    return ""


class _Times(msgspec.Struct):
    updatedAt: int
    data_age_ms: int


def clock_skew(scene: Scene) -> None:
    node, owner, symbols = scene.a_node()
    offset_s = scene.chance.choice(OFFSETS_S)
    library = faketime()
    assert library is not None
    at = scene.lab.signal(node, signal.SIGTERM)
    scene.recovered(scene.hurt("node-term", at, symbols, victim=node), but_not=owner)
    scene.lab.await_end(node)
    with Outsider(scene.lab, node, "skewed", skewed(library, offset_s)) as wrong:
        joining = scene.hurt("node-join", wrong.started_at, scene.symbols, victim=node)
        if not scene.settle():
            detail = f"not well with a clock {offset_s:+d} s off; its log ends: {wrong.log[-200:]}"
            scene.found.append(Violation(joining.time, node, "wrong clock", detail))
        _, owner, symbols = scene.node(node)
        _check_times(scene, symbols)
        at = wrong.signal(signal.SIGKILL)
        note = f"{offset_s:+d} s"
        scene.recovered(scene.hurt("clock-skew", at, symbols, victim=node, owner_gone=owner, note=note))
        wrong.await_end()
    scene.restart_node(node)


def _check_times(scene: Scene, symbols: tuple[str, ...]) -> None:
    with scene.lab.client() as client:
        for _ in range(_LOOKS):
            time.sleep(scene.lab.settings.nt_report_period_ms / 1000)
            for symbol in symbols:
                report = client.get(report_key(symbol))
                if isinstance(report, bytes) and (flaw := time_flaw(report, time.time() * 1000)):
                    scene.found.append(Violation(time.time(), symbol, "wrong clock", flaw))


KINDS = (
    Kind(
        "clock-skew",
        500,
        clock_skew,
        "SIGKILL of a node whose clock is 1 h or 5 s off",
        skip="" if faketime() else "this machine has no libfaketime",
    ),
)
