"""One measurement of a running stack: how many of its reports are on time, how old they are, what they cost."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tools.benchmarks.histogram import quantile, share_up_to
from tools.benchmarks.stack import Sample, Stack

PERIOD_S = 0.25
WRITTEN = "nt_dispatch_to_written_ms{cycle=fast}"
PUBLISHED = "nt_report_publish_total{cycle=fast}"


@dataclass(frozen=True)
class Point:
    """What one window showed.

    Attributes:
        on_time: reports written within one period of being sent, as a share of those due: four a symbol and second.
        written_p50, written_p99: from dispatch to written, ms.
        age_p50, age_p95, age_p99: from receipt of the newest market data to its report, ms.
        cpu: role -> share of a core.
        cost_us: CPU time of nodes and dispatcher per report, microseconds; Redis', ingest's and the exchange's are
            in ``cpu``.
        memory_mb: role -> resident MB at the end.
        dropped: messages dropped as late, a second.
        skipped: slices not sent because the node had not taken those before, a second.
        others: cores that were busy with what is not part of this run. Where they are many, the numbers say little.
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
        busy = " ".join(f"{role}:{share:.0%}" for role, share in sorted(self.cpu.items()))
        return (
            f"{self.symbols:5} symbols, {self.nodes} nodes: {self.reports_per_s:6.0f} reports/s, on time "
            f"{self.on_time:7.2%}, written p50/p99 {self.written_p50:5.1f}/{self.written_p99:5.1f} ms, data age "
            f"p50/p95 {self.age_p50:4.0f}/{self.age_p95:4.0f} ms, {self.cost_us:4.0f} us a report; "
            f"{busy} others:{self.others:.2f}"
        )


def measure(stack: Stack, nodes: int, seconds: float) -> Point:
    """Watch ``stack`` for ``seconds``."""
    before = stack.sample()
    time.sleep(seconds)
    return point(len(stack.symbols), nodes, stack.sample().since(before))


def point(symbols: int, nodes: int, done: Sample) -> Point:
    """What was ``done`` in a window."""
    published, written, age = done.count(PUBLISHED), done.histogram(WRITTEN), done.histogram("nt_data_age_ms")
    working = sum(spent for role, spent in done.cpu.items() if role.startswith(("node", "beat")))
    return Point(
        symbols=symbols,
        nodes=nodes,
        seconds=done.at,
        reports_per_s=published / done.at,
        # The histogram counts messages; those of one cycle are of even size.
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
