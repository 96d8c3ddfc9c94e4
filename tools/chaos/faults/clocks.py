"""Faults of hosts: a node whose clock is wrong."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import msgspec

from tools.chaos.checker import Violation
from tools.chaos.extra_process import ExtraProcess
from tools.chaos.injector import FaultKind, Injector

OFFSETS_S = (3600, -5, -3600)
NEAR_MS = 1000
_CHECKS = 5


def faketime(places: tuple[Path, ...] = (Path("/usr/lib"), Path("/usr/local/lib"))) -> Path | None:
    """The library that gives a process another clock, ``None`` if it is not installed.

    Args:
        places: folders in which to look for it.

    https://github.com/wolfcw/libfaketime
    """
    if not sys.platform.startswith("linux"):
        return None
    for place in places:
        for pattern in ("faketime", "*/faketime"):
            for found in sorted(place.glob(f"{pattern}/libfaketimeMT.so.1")):
                return found
    return None


def skewed(library: Path, offset_s: int) -> dict[str, str]:
    """Environment of a process whose wall clock is wrong and whose monotonic clock is right.

    Args:
        library: as :func:`faketime` found it.
        offset_s: how far the wall clock is ahead, s.
    """
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{offset_s:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def time_flaw(report: bytes, now_ms: float) -> str:
    """Which time in a report cannot be right, or "".

    Args:
        report: as it is stored.
        now_ms: Unix time in ms, by a correct clock.
    """
    times = msgspec.json.decode(report, type=_Times)
    if abs(times.updatedAt - now_ms) > NEAR_MS:
        return f"updatedAt is {times.updatedAt - now_ms:+.0f} ms from now"
    if not 0 <= times.data_age_ms <= NEAR_MS:
        return f"data_age_ms is {times.data_age_ms}"
    return ""


class _Times(msgspec.Struct):
    updatedAt: int
    data_age_ms: int


def _clock_skew(injector: Injector) -> None:
    node, owner, symbols = injector.random_node()
    offset_s = injector.rng.choice(OFFSETS_S)
    library = faketime()
    assert library is not None
    at = injector.stack.signal(node, signal.SIGTERM)
    injector.await_recovery(injector.begin_fault("node-term", at, symbols, victim=node), but_not=owner)
    injector.stack.await_end(node)
    with ExtraProcess(injector.stack, node, "skewed", skewed(library, offset_s)) as wrong:
        joining = injector.begin_fault("node-join", wrong.started_at, injector.symbols, victim=node)
        if not injector.await_steady():
            detail = f"not steady with a clock {offset_s:+d} s off; its log ends: {wrong.log[-200:]}"
            injector.violations.append(Violation(joining.time, node, "wrong clock", detail))
        _, owner, symbols = injector.node(node)
        _check_times(injector, symbols)
        at = wrong.signal(signal.SIGKILL)
        note = f"{offset_s:+d} s"
        injector.await_recovery(
            injector.begin_fault("clock-skew", at, symbols, victim=node, owner_gone=owner, note=note)
        )
        wrong.await_end()
    injector.restart_node(node)


def _check_times(injector: Injector, symbols: tuple[str, ...]) -> None:
    with injector.stack.client() as client:
        for _ in range(_CHECKS):
            time.sleep(injector.stack.settings.nt_report_period_ms / 1000)
            for symbol in symbols:
                report = client.get(injector.stack.settings.keys.report(symbol))
                if isinstance(report, bytes) and (flaw := time_flaw(report, time.time() * 1000)):
                    injector.violations.append(Violation(time.time(), symbol, "wrong clock", flaw))


KINDS = (
    FaultKind(
        "clock-skew",
        500,
        _clock_skew,
        "SIGKILL of a node whose clock is 1 h or 5 s off",
        skip="" if faketime() else "this machine has no libfaketime",
    ),
)
