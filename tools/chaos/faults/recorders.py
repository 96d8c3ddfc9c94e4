"""Faults of recorders. Reports must not notice them, and no trade or diff may be lost or recorded twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Collection

from tools.chaos.gaps import TWO_PERIODS_MS
from tools.chaos.injector import MAX_FREEZE_S, FaultKind, Injector
from tools.local.roles import RECORDERS

MIN_RECORDER_FREEZE_S = 3.0
"""Longer than a lease of a symbol's recording lasts, so that the other recorder takes over."""
MAX_DOWN_S = 4.0
"""Shorter than diffs stay in the streams."""


def _kill(injector: Injector, kind: str, victims: Collection[str]) -> None:
    down_s = injector.rng.uniform(0.0, MAX_DOWN_S)
    at = min([injector.stack.signal(name, signal.SIGKILL) for name in victims])
    fault = injector.begin_fault(kind, at, injector.symbols, victim=", ".join(victims), note=f"down {down_s:.1f} s")
    injector.await_recovery(fault)
    time.sleep(max(0.0, at + down_s - time.time()))
    for name in victims:
        injector.begin_fault("recorder-join", injector.stack.start_role(name), injector.symbols, victim=name)


def _recorder_kill(injector: Injector) -> None:
    _kill(injector, "recorder-kill", (injector.rng.choice(RECORDERS),))


def _recorders_kill(injector: Injector) -> None:
    _kill(injector, "recorders-kill", RECORDERS)


def _recorder_freeze(injector: Injector) -> None:
    seconds = injector.rng.uniform(MIN_RECORDER_FREEZE_S, MAX_FREEZE_S)
    victim = injector.rng.choice(RECORDERS)
    injector.freeze(victim, seconds, ("recorder-freeze", "recorder-wake"), injector.symbols)


KINDS = (
    FaultKind("recorder-kill", TWO_PERIODS_MS, _recorder_kill, "SIGKILL of one of two recorders", recorded=True),
    FaultKind("recorders-kill", TWO_PERIODS_MS, _recorders_kill, "SIGKILL of both recorders", recorded=True),
    FaultKind("recorder-freeze", TWO_PERIODS_MS, _recorder_freeze, "SIGSTOP of a recorder, 3-10 s", recorded=True),
    FaultKind("recorder-join", TWO_PERIODS_MS, None, "a recorder starts again"),
    FaultKind("recorder-wake", TWO_PERIODS_MS, None, "a frozen recorder resumes"),
)
