"""What happens at twice the load that the machine carries, and after it.

    python -m tools.benchmarks --only overload

A beat at 4 Hz leads first; then a beat that asks for at least twice the reports that the nodes can write; then the
first one again. Each second records how many reports were written, how evenly over the symbols, how old their data was,
how many messages waited in the queues, and how much memory the processes used.
"""

from __future__ import annotations

import math
import signal
import tempfile
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tools.benchmarks.capacity import NODES, WARM_UP_S, measurement
from tools.benchmarks.stack import Stack
from tools.local import roles

SYMBOLS = 1000
PERIOD_MS = 250
FACTOR = 4.0
"""The rate under overload, as a multiple of the usual one."""

BACK_TO_NORMAL = 0.95
_NEW_TOKEN = 1000


@dataclass
class Second:
    """One second of the run.

    Attributes:
        at: seconds since the begin.
        phase: ``usual``, ``overload`` or ``after``.
        written: reports a second.
        rates: writes a second of the slowest, the median and the fastest symbol, over the last five seconds.
        data_age_p95: of the reports, ms.
        waiting: messages in the queues of the nodes.
        memory_mb: resident memory of all roles.
        dropped: messages a second that were dropped because they were late.
        skipped: slices a second that were not sent because the node had not taken the earlier ones.
    """

    at: float
    phase: str
    written: float
    rates: tuple[float, float, float]
    data_age_p95: float
    waiting: int
    memory_mb: float
    dropped: float
    skipped: float


class Sampler:
    """Samples a stack once a second.

    Attributes:
        began: monotonic time, s.
        seconds: all that were recorded.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.seconds: list[Second] = []
        self.began = time.monotonic()
        self._before = stack.sample()
        self._numbers: list[int] = []
        self._numbers_at = 0.0
        self._written: deque[tuple[float, list[int]]] = deque(maxlen=5)

    def skip(self) -> None:
        """Start again from now: ignore what was done since the last second."""
        self._before = self._stack.sample()
        self._rates()
        self._written.clear()

    def second(self, phase: str) -> None:
        """Wait until the next second is over, and record it and print a line about it."""
        time.sleep(max(0.0, 1 - (time.monotonic() - self._before.at)))
        now = self._stack.sample()
        done = measurement(len(self._stack.symbols), NODES, now.since(self._before))
        self._before = now
        one = Second(
            at=now.at - self.began,
            phase=phase,
            written=done.reports_per_s,
            rates=self._rates(),
            data_age_p95=done.age_p95,
            waiting=sum(self._stack.broker.llen(node) for node in roles.NODES[:NODES]),
            memory_mb=sum(done.memory_mb.values()),
            dropped=done.dropped,
            skipped=done.skipped,
        )
        self.seconds.append(one)
        print(
            f"{one.at:5.1f} s {phase:9} {one.written:6.0f} reports/s; a symbol "
            f"{one.rates[0]:.1f}/{one.rates[1]:.1f}/{one.rates[2]:.1f} a second; data age p95 {one.data_age_p95:4.0f} ms; "
            f"{one.waiting} wait; {one.dropped:.0f} late; {one.skipped:.0f} skipped; {one.memory_mb:.0f} MB"
        )

    def _rates(self) -> tuple[float, float, float]:
        """From ``seq`` in the leases, which counts every accepted write, slow cycles included."""
        pipe = self._stack.client.pipeline(transaction=False)
        for symbol in self._stack.symbols:
            pipe.hget(self._stack.keys.lease(symbol), "seq")
        before, then = self._numbers, self._numbers_at
        self._numbers, self._numbers_at = [int(number or 0) for number in pipe.execute()], time.monotonic()
        if not before:
            return (0.0, 0.0, 0.0)
        grown = [now - number for number, now in zip(before, self._numbers, strict=True)]
        self._written.append((self._numbers_at - then, grown))
        rates = []
        for place in range(len(grown)):
            # With a new token seq starts again, so the number of writes is not known.
            known = [(seconds, of[place]) for seconds, of in self._written if of[place] < _NEW_TOKEN]
            if known:
                rates.append(sum(count for _, count in known) / sum(seconds for seconds, _ in known))
        rates.sort()
        return (rates[0], rates[len(rates) // 2], rates[-1]) if rates else (0.0, 0.0, 0.0)


def run(seconds: float = 20.0) -> dict[str, Any]:
    """Run three phases: the usual rate, :data:`FACTOR` times that rate, and the usual rate again.

    Args:
        seconds: length of each phase.

    Returns:
        ``symbols``, ``factor``, ``seconds``: every :class:`Second`, and ``recovered_s``: from the end of the overload to
        the end of the first second without a message dropped or left out and with 95 % of the due reports (a slice may
        be in the next second).
    """
    usual, overloading = roles.BEATS
    beats = {usual: {}, overloading: {"NT_REPORT_PERIOD_MS": str(round(PERIOD_MS / FACTOR))}}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Stack(Path(folder), SYMBOLS, NODES, beats=beats) as stack,
    ):
        time.sleep(WARM_UP_S)
        sampler = Sampler(stack)

        def phase(name: str) -> float:
            began = time.monotonic()
            sampler.skip()
            while time.monotonic() - began < seconds:
                sampler.second(name)
            return began

        phase("usual")
        _hand_over(stack, usual, overloading)
        phase("overload")
        _hand_over(stack, overloading, usual)
        fell = phase("after") - sampler.began
    due = BACK_TO_NORMAL * SYMBOLS * 1000 / PERIOD_MS
    steady = (
        one.at - fell
        for one in sampler.seconds
        if one.phase == "after" and one.written >= due and not one.dropped + one.skipped
    )
    recovered_s = next(steady, math.nan)
    print(f"back to {BACK_TO_NORMAL:.0%} of the reports due {recovered_s:.1f} s after the load fell")
    seconds_run = [asdict(one) for one in sampler.seconds]
    return {"symbols": SYMBOLS, "factor": FACTOR, "seconds": seconds_run, "recovered_s": recovered_s}


def _hand_over(stack: Stack, leads: str, follows: str) -> None:
    """Start ``follows`` as a standby, then end ``leads``."""
    stack.start(follows)
    time.sleep(5)
    stack.signal(leads, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while leads in stack.pids() and time.monotonic() < deadline:
        time.sleep(0.05)
