"""What happens at twice the load that the machine carries, and after it.

    python -m tools.benchmarks.overload [--symbols 1000] [--seconds 60]

A beat at 4 Hz leads first; then a beat that asks for at least twice the reports that the nodes can write; then the
first one again. Each second records how many reports were written, how evenly over the symbols, how old their data was,
how many messages waited in the queues, and how much memory the processes used.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tools.benchmarks.capacity import PUBLISHED, WARM_UP_S
from tools.benchmarks.metrics import quantile
from tools.benchmarks.stack import Stack
from tools.local.roles import BEATS, NODES

PERIOD_MS = 250
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

    @property
    def late_or_left_out(self) -> bool:
        """Whether any message was dropped or not sent."""
        return self.dropped > 0 or self.skipped > 0


@dataclass
class Run:
    """The whole run.

    Attributes:
        symbols: how many.
        factor: the rate under overload, as a multiple of the usual one.
        seconds: all seconds of the run.
        recovered_s: from the end of the overload to the end of the first second without a message dropped or left out
            and with 95 % of the due reports (a slice may be in the next second).
    """

    symbols: int
    factor: float
    seconds: list[Second] = field(default_factory=list)
    recovered_s: float = float("nan")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Sampler:
    """Samples a stack once a second."""

    def __init__(self, stack: Stack, nodes: int, run: Run, say: Callable[[str], None]) -> None:
        self._stack, self._nodes, self._run, self._say = stack, nodes, run, say
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

    def second(self, phase: str) -> Second:
        """Wait until the next second is over, and record it."""
        time.sleep(max(0.0, 1 - (time.monotonic() - self._before.at)))
        now = self._stack.sample()
        done = now.since(self._before)
        self._before = now
        age = done.histogram("nt_data_age_ms")
        one = Second(
            at=now.at - self.began,
            phase=phase,
            written=done.count(PUBLISHED) / done.at,
            rates=self._rates(),
            data_age_p95=quantile(age, 0.95),
            waiting=self._waiting(),
            memory_mb=sum(now.memory.values()) / 1e6,
            dropped=done.count("nt_ticks_dropped_total{cycle=fast}{reason=late}") / done.at,
            skipped=done.count("nt_cycles_skipped_total{entry=fast-cycle}{reason=backlog}") / done.at,
        )
        self._run.seconds.append(one)
        self._say(
            f"{one.at:5.1f} s {phase:9} {one.written:6.0f} reports/s; a symbol "
            f"{one.rates[0]:.1f}/{one.rates[1]:.1f}/{one.rates[2]:.1f} a second; data age p95 {one.data_age_p95:4.0f} ms; "
            f"{one.waiting} wait; {one.dropped:.0f} late; {one.skipped:.0f} skipped; {one.memory_mb:.0f} MB"
        )
        return one

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

    def _waiting(self) -> int:
        return sum(self._stack.broker.llen(node) for node in NODES[: self._nodes])


def run(symbols: int, nodes: int, seconds: float, factor: float, say: Callable[[str], None] = print) -> Run:
    """Run three phases: the usual rate, ``factor`` times that rate, and the usual rate again.

    Args:
        symbols: how many.
        nodes: how many.
        seconds: length of each phase.
        factor: of the overload.
        say: gets a line each second.
    """
    found = Run(symbols, factor)
    overloading = {"NT_REPORT_PERIOD_MS": str(round(PERIOD_MS / factor))}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Stack(Path(folder), symbols, nodes, beats={BEATS[0]: {}, BEATS[1]: overloading}) as stack,
    ):
        time.sleep(WARM_UP_S)
        sampler = Sampler(stack, nodes, found, say)

        def phase(name: str) -> float:
            began = time.monotonic()
            sampler.skip()
            while time.monotonic() - began < seconds:
                sampler.second(name)
            return began

        phase("usual")
        _hand_over(stack, *BEATS)
        phase("overload")
        _hand_over(stack, *reversed(BEATS))
        fell = phase("after")
        due = symbols * 1000 / PERIOD_MS
        for one in [one for one in found.seconds if one.phase == "after"]:
            if not one.late_or_left_out and one.written >= BACK_TO_NORMAL * due:
                found.recovered_s = one.at - (fell - sampler.began)
                break
    return found


def _hand_over(stack: Stack, leads: str, follows: str) -> None:
    """Start ``follows`` as a standby, then end ``leads``."""
    stack.start(follows)
    time.sleep(5)
    stack.signal(leads, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while leads in stack.pids() and time.monotonic() < deadline:
        time.sleep(0.05)


def main() -> None:
    """Carry out the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=2, choices=(1, 2, 3))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--factor", type=float, default=4)
    given = parser.parse_args()
    found = run(given.symbols, given.nodes, given.seconds, given.factor)
    print(f"back to {BACK_TO_NORMAL:.0%} of the reports due {found.recovered_s:.1f} s after the load fell")


if __name__ == "__main__":
    main()
