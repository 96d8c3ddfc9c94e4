"""What happens at twice the load that the machine carries, and after it.

    python -m tools.benchmarks.overload [--symbols 1000] [--seconds 60]

A beat that sends at 4 Hz leads at first; then one that sends far more reports than the nodes can write, chosen so that
they are asked for at least twice what they manage; then the first again. Each second it is noted what was written, how
evenly over the symbols, how old the data in the reports was, what waits in the queues, and how large the processes are.
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

from tickfence.coordination.keys import lease_key
from tools.benchmarks.capacity import WARM_UP_S
from tools.benchmarks.histogram import quantile
from tools.benchmarks.point import PUBLISHED
from tools.benchmarks.stack import Stack
from tools.local.roles import BEATS, NODES

PERIOD_MS = 250
BACK_TO_NORMAL = 0.95
_NEW_TOKEN = 1000


@dataclass
class Second:
    """One second of the run; ``rates`` are reports a second of the slowest, the middle and the quickest symbol over
    the last five seconds."""

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
        return self.dropped > 0 or self.skipped > 0


@dataclass
class Run:
    """The whole run.

    Attributes:
        recovered_s: how long after the load fell the first second ended in which no message was late, none left out, and
            95 % of the reports due were written (a slice may fall into the next second).
    """

    symbols: int
    factor: float
    seconds: list[Second] = field(default_factory=list)
    recovered_s: float = float("nan")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Watch:
    """Looks at a stack once a second."""

    def __init__(self, stack: Stack, nodes: int, run: Run, say: Callable[[str], None]) -> None:
        self._stack, self._nodes, self._run, self._say = stack, nodes, run, say
        self.began = time.monotonic()
        self._before = stack.sample()
        self._numbers: list[int] = []
        self._numbers_at = 0.0
        self._written: deque[tuple[float, list[int]]] = deque(maxlen=5)

    def skip(self) -> None:
        """Go on from now: what has been done since the last second is not looked at."""
        self._before = self._stack.sample()
        self._rates()
        self._written.clear()

    def second(self, phase: str) -> Second:
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
        """From the numbers of the writes in the leases: Redis' own account, slow cycles among them."""
        pipe = self._stack.client.pipeline(transaction=False)
        for symbol in self._stack.symbols:
            pipe.hget(lease_key(symbol), "seq")
        before, then = self._numbers, self._numbers_at
        self._numbers, self._numbers_at = [int(number or 0) for number in pipe.execute()], time.monotonic()
        if not before:
            return (0.0, 0.0, 0.0)
        grown = [now - number for number, now in zip(before, self._numbers, strict=True)]
        self._written.append((self._numbers_at - then, grown))
        rates = []
        for place in range(len(grown)):
            # Under a new token the numbers begin anew: what was written meanwhile is not known.
            known = [(seconds, of[place]) for seconds, of in self._written if of[place] < _NEW_TOKEN]
            if known:
                rates.append(sum(count for _, count in known) / sum(seconds for seconds, _ in known))
        rates.sort()
        return (rates[0], rates[len(rates) // 2], rates[-1]) if rates else (0.0, 0.0, 0.0)

    def _waiting(self) -> int:
        return sum(self._stack.broker.llen(node) for node in NODES[: self._nodes])


def run(symbols: int, nodes: int, seconds: float, factor: float, say: Callable[[str], None] = print) -> Run:
    """Three phases of ``seconds`` each: usual, at ``factor`` times the rate, and usual again."""
    found = Run(symbols, factor)
    hasty = {"NT_REPORT_PERIOD_MS": str(round(PERIOD_MS / factor))}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Stack(Path(folder), symbols, nodes, beats={BEATS[0]: {}, BEATS[1]: hasty}) as stack,
    ):
        stack.settle(WARM_UP_S)
        watch = Watch(stack, nodes, found, say)

        def phase(name: str) -> float:
            began = time.monotonic()
            watch.skip()
            while time.monotonic() - began < seconds:
                watch.second(name)
            return began

        phase("usual")
        _hand_over(stack, *BEATS)
        phase("overload")
        _hand_over(stack, *reversed(BEATS))
        fell = phase("after")
        due = symbols * 1000 / PERIOD_MS
        for one in [one for one in found.seconds if one.phase == "after"]:
            if not one.late_or_left_out and one.written >= BACK_TO_NORMAL * due:
                found.recovered_s = one.at - (fell - watch.began)
                break
    return found


def _hand_over(stack: Stack, leads: str, follows: str) -> None:
    """``follows`` is started and stands by; then ``leads`` ends, and this returns."""
    stack.start(follows)
    time.sleep(5)
    stack.signal(leads, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while leads in stack.pids() and time.monotonic() < deadline:
        time.sleep(0.05)


def main() -> None:
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
