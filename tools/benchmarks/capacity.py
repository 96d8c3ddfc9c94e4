"""The largest number of symbols at 4 Hz with at least 99 % of the reports on time, with every role on this machine.

    python -m tools.benchmarks --only capacity

On another machine: ``python -m tools.benchmarks.capacity --min 600 --max 2000 --nodes 3``.

The exchange sends 10 diffs and 5 trades a second for each symbol. If a number of symbols fails, it is tried a second
time: the machine may have been busy with other work.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tools.benchmarks.metrics import quantile, share_up_to
from tools.benchmarks.stack import Sample, Stack
from tools.local.supervision import SupervisionError

ENOUGH = 0.99
NODES = 2
TRIES = 2
STEP = 100
WARM_UP_S = 15.0
PERIOD_S = 0.25


WRITTEN = "nt_dispatch_to_written_ms{cycle=fast}"
PUBLISHED = "nt_report_publish_total{cycle=fast}"


@dataclass(frozen=True)
class Measurement:
    """One measurement of a running stack.

    Attributes:
        symbols: how many.
        nodes: how many.
        seconds: how long it was measured.
        reports_per_s: reports a second, all symbols together.
        on_time: reports written within one period of their dispatch, as a share of four reports a symbol and second.
        written_p50, written_p99: from dispatch to written, ms.
        age_p50, age_p95, age_p99: from the receipt of the newest market data to its report, ms.
        cpu: role -> share of a core.
        cost_us: CPU time of nodes and beat per report, microseconds.
        memory_mb: role -> resident MB at the end.
        dropped: messages a second that were dropped because they were late.
        skipped: slices a second that were not sent because the node had not taken the earlier ones.
        others: cores that were busy with other work. If it is much, the measurement says little.
    """

    symbols: int
    nodes: int
    seconds: float
    reports_per_s: float
    on_time: float
    written_p50: float
    written_p99: float
    age_p50: float
    age_p95: float
    age_p99: float
    cpu: dict[str, float]
    cost_us: float
    memory_mb: dict[str, float]
    dropped: float
    skipped: float
    others: float

    def line(self) -> str:
        """The measurement in a line."""
        busy = " ".join(f"{role}:{share:.0%}" for role, share in sorted(self.cpu.items()))
        return (
            f"{self.symbols:5} symbols, {self.nodes} nodes: {self.reports_per_s:6.0f} reports/s, on time "
            f"{self.on_time:7.2%}, written p50/p99 {self.written_p50:5.1f}/{self.written_p99:5.1f} ms, data age "
            f"p50/p95 {self.age_p50:4.0f}/{self.age_p95:4.0f} ms, {self.cost_us:4.0f} us a report; "
            f"{busy} others:{self.others:.2f}"
        )


def measurement(symbols: int, nodes: int, done: Sample) -> Measurement:
    """The measurement of what was ``done`` meanwhile."""
    published, written, age = done.count(PUBLISHED), done.histogram(WRITTEN), done.histogram("nt_data_age_ms")
    working = sum(spent for role, spent in done.cpu.items() if role.startswith(("node", "beat")))
    return Measurement(
        symbols=symbols,
        nodes=nodes,
        seconds=done.at,
        reports_per_s=published / done.at,
        # The histogram counts messages; all messages of a cycle have about as many symbols.
        on_time=published * share_up_to(written, PERIOD_S * 1000) / (symbols * done.at / PERIOD_S)
        if published
        else 0.0,
        written_p50=quantile(written, 0.5),
        written_p99=quantile(written, 0.99),
        age_p50=quantile(age, 0.5),
        age_p95=quantile(age, 0.95),
        age_p99=quantile(age, 0.99),
        cpu={role: spent / done.at for role, spent in done.cpu.items()},
        cost_us=working / published * 1e6 if published else float("nan"),
        memory_mb={role: size / 1e6 for role, size in done.memory.items()},
        dropped=done.count("nt_ticks_dropped_total{cycle=fast}{reason=late}") / done.at,
        skipped=done.count("nt_cycles_skipped_total{entry=fast-cycle}{reason=backlog}") / done.at,
        others=max(0.0, done.busy - sum(done.cpu.values())) / done.at,
    )


def measure_size(symbols: int, nodes: int, seconds: float, warm_up_s: float = WARM_UP_S) -> Measurement:
    """Measure a new stack.

    Args:
        symbols: how many.
        nodes: how many.
        seconds: how long to measure.
        warm_up_s: how long to wait first: cold starts, first snapshots, the first growth of the windows.

    Raises:
        SupervisionError: the stack does not start.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Stack(Path(folder), symbols, nodes) as stack:
        time.sleep(warm_up_s)
        before = stack.sample()
        time.sleep(seconds)
        return measurement(symbols, nodes, stack.sample().since(before))


def run(seconds: float = 20.0, minimum: int = 1000, maximum: int = 1400, nodes: int = NODES) -> dict[str, Any]:
    """Find the capacity by bisection, in steps of 100 symbols, and print a line after each measurement.

    Args:
        seconds: how long to measure each number.
        minimum: fewest symbols to try.
        maximum: most symbols to try.
        nodes: how many.

    Returns:
        ``symbols``: the capacity, 0 if it is below ``minimum``; ``points``: all measurements.
    """
    measurements: list[Measurement] = []

    def carries(symbols: int) -> bool:
        for _ in range(TRIES):
            try:
                found = measure_size(symbols, nodes, seconds)
            except SupervisionError as error:
                print(f"{symbols:5} symbols, {nodes} nodes: {error}")
                continue
            print(found.line())
            measurements.append(found)
            if found.on_time >= ENOUGH:
                return True
        return False

    good, bad = (minimum, maximum + STEP) if carries(minimum) else (0, 0)
    while bad - good > STEP:
        tried = (good + bad) // (2 * STEP) * STEP
        if carries(tried):
            good = tried
        else:
            bad = tried
    print(f"capacity: {good} symbols at 4 Hz, {nodes} nodes")
    return {"symbols": good, "points": [asdict(one) for one in measurements]}


def main() -> None:
    """Carry out the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--min", type=int, default=600)
    parser.add_argument("--max", type=int, default=2000)
    parser.add_argument("--nodes", type=int, default=NODES, choices=(1, 2, 3))
    given = parser.parse_args()
    run(given.seconds, given.min, given.max, given.nodes)


if __name__ == "__main__":
    main()
