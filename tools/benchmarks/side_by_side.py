"""tickfence compared with common Celery set-ups: the same work, on the same market, in the same run.

    python -m tools.benchmarks --only side_by_side

The contestants (:mod:`tools.benchmarks.peers.contestants`) take turns on one market: Redis, the simulated exchange and one
ingest, as in :mod:`tools.benchmarks.stack`. For each contestant this measures from outside:

- *capacity*: the largest number of symbols for which 99 % of the due reports come on time, one every 250 ms
  (:mod:`tools.benchmarks.peers.on_time`); and the same if a schedule may drift by up to 10 %.
- *cost*: CPU per report of beat, workers and Redis, without the CPU that the market alone costs Redis.
- *latency*: from task sent to report written, with 30 symbols.
- *failover*: the longest time that a symbol has no report after a worker or the beat is killed.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import Any

from tools.benchmarks.machine import busy_seconds, cpu_seconds
from tools.benchmarks.metrics import quantile
from tools.benchmarks.peers.arena import Arena
from tools.benchmarks.peers.contestants import REDBEAT, Contestant, NotInstalled, install
from tools.benchmarks.peers.on_time import FORGIVEN_RATE, longest_gap, share_on_time
from tools.local.roles import Role

FIRST_STEP = 30
STEPS = (FIRST_STEP, 60, 100, 200, 400, 800, 1000)
"""Numbers of symbols to try, rising; a contestant that fails at one is out."""

FIRST_STEP_ROUNDS = 3
"""Windows of each contestant at the first step, which show how much they vary."""
TRIES = 2
"""Windows at a later step: a second one if the first fails, because the machine may have been busy with other work."""
ENOUGH = 0.99

FAILOVER_SYMBOLS = 6
FAILOVER_BOUND_S = 30.0

_SETTLE_S = 3.0
_ONCE_BELOW_S = 8.0
_KILLS = 3


@dataclass(frozen=True)
class Window:
    """One contestant in one window: a row of the results.

    Attributes:
        contestant: its name.
        symbols: how many.
        on_time: share of the due reports that came on time.
        forgiven: the same at 90 % of the rate.
        per_s: reports per symbol and second.
        dispatch_us, work_us, redis_us: CPU per report of beat, workers and Redis; ``None`` without reports.
        p50_ms, p99_ms: from task sent to report written.
        others: cores that were busy with other work. If it is much, the row says little.
    """

    contestant: str
    symbols: int
    on_time: float
    forgiven: float
    per_s: float
    dispatch_us: float | None = None
    work_us: float | None = None
    redis_us: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    others: float = 0.0
    kind: str = field(default="window", init=False)

    def __str__(self) -> str:
        costs = "".join(
            f" {'-' if one is None else f'{one:.0f}':>9}" for one in (self.dispatch_us, self.work_us, self.redis_us)
        )
        times = "".join(f" {'-' if one is None else f'{one:.1f}':>8}" for one in (self.p50_ms, self.p99_ms))
        return (
            f"{self.contestant:20} {self.symbols:5} {self.on_time:8.1%} {self.forgiven:8.1%} {self.per_s:7.2f}"
            f"{costs}{times} {self.others:7.2f}"
        )


WINDOW_HEAD = (
    f"{'':20} {'symb.':>5} {'on time':>8} {'drifting':>8} {'per s':>7}"
    f" {'beat us':>9} {'work us':>9} {'redis us':>9} {'p50 ms':>8} {'p99 ms':>8} {'others':>7}"
)


@dataclass(frozen=True)
class Failover:
    """The longest time that any symbol had no report, for each kill, s."""

    contestant: str
    killed: str
    gaps_s: list[float]
    kind: str = field(default="failover", init=False)

    def __str__(self) -> str:
        shown = ", ".join(f"> {FAILOVER_BOUND_S:g}" if gap >= FAILOVER_BOUND_S else f"{gap:.2f}" for gap in self.gaps_s)
        return f"{self.contestant:20} {self.killed:7} killed: {shown} s"


@dataclass(frozen=True)
class Capacity:
    """The largest number of symbols at the full rate, and at a drifting rate; 0 if the first step fails."""

    contestant: str
    about: str
    symbols: int
    drifting: int
    kind: str = field(default="capacity", init=False)

    def __str__(self) -> str:
        return f"{self.contestant:20} {self.symbols:8} {self.drifting:16}   {self.about}"


def run(seconds: float = 7.0) -> list[dict[str, Any]]:
    """Measure all contestants, and print each line as soon as it is known.

    Args:
        seconds: length of one window. Below 8 s everything is measured only once.

    Returns:
        Rows of the results: windows, failovers and capacities.
    """
    try:
        redbeat: Path | None = install(REDBEAT)
    except NotInstalled as error:
        print(f"celery-redbeat is left out: {error}")
        redbeat = None
    versions = [f"{name} {version(name)}" for name in ("celery", "kombu", "redis", "hiredis")]
    print(", ".join([*versions, *(REDBEAT if redbeat else ())]))
    with tempfile.TemporaryDirectory(prefix="tickfence-peers-") as folder:
        windows, about = _race(Path(folder), seconds, redbeat)
        failovers = _failovers(Path(folder), _KILLS if seconds >= _ONCE_BELOW_S else 1, redbeat)
    capacities = [
        Capacity(name, what, sustained(windows, name, "on_time"), sustained(windows, name, "forgiven"))
        for name, what in about.items()
    ]
    print(f"\n{'':20} {'symbols':>8} {'drift forgiven':>16}")
    for row in capacities:
        print(row)
    rows: list[Window | Failover | Capacity] = [*windows, *failovers, *capacities]
    return [asdict(row) for row in rows]


def _race(folder: Path, seconds: float, redbeat: Path | None) -> tuple[list[Window], dict[str, str]]:
    windows: list[Window] = []
    about: dict[str, str] = {}
    out: set[str] = set()
    print(WINDOW_HEAD)
    for count in STEPS:
        with Arena(folder / str(count), count, redbeat) as arena:
            about |= {one.name: one.about for one in arena.contestants}
            time.sleep(_SETTLE_S)
            idle = _redis_share(arena, seconds / 3)
            at_count: list[Window] = []
            rounds = FIRST_STEP_ROUNDS if count == FIRST_STEP else TRIES
            for turn in range(rounds if seconds >= _ONCE_BELOW_S else 1):
                done = {one.contestant for one in at_count if one.on_time >= ENOUGH}
                for contestant in arena.contestants:
                    name = contestant.name
                    if name in out or (turn and count != FIRST_STEP and name in done):
                        continue
                    at_count.append(_window(arena, contestant, seconds, idle))
                    print(at_count[-1])
            windows += at_count
            out |= {name for name in about if not sustained(at_count, name, "forgiven")}
        if len(out) == len(about):
            break
    return windows, about


def sustained(windows: Sequence[Window], name: str, by: str) -> int:
    """The largest number of symbols that a contestant sustains, as it does all smaller ones; 0 without any.

    Args:
        windows: of all contestants.
        name: of the contestant.
        by: ``on_time`` or ``forgiven``.
    """
    best: dict[int, float] = {}
    for window in windows:
        if window.contestant == name:
            best[window.symbols] = max(best.get(window.symbols, 0.0), getattr(window, by))
    return max(takewhile(lambda symbols: best[symbols] >= ENOUGH, sorted(best)), default=0)


def _window(arena: Arena, contestant: Contestant, seconds: float, idle: float) -> Window:
    period = arena.settings.nt_report_period_ms / 1000
    roles: tuple[tuple[Role, ...] | None, ...] = (contestant.beats[:1], contestant.workers[:1], None)
    with arena.running(contestant) as ready:
        if not ready:
            return Window(contestant.name, len(arena.symbols), 0.0, 0.0, 0.0)
        time.sleep(_SETTLE_S)
        before, latencies = [arena.cpu(one) for one in roles], arena.latencies(contestant)
        other_cpu = _other_cpu()
        opened = time.monotonic()
        time.sleep(seconds)
        closed = time.monotonic()
        others = max(0.0, _other_cpu() - other_cpu) / (closed - opened)
        spent = [arena.cpu(one) - earlier for one, earlier in zip(roles, before, strict=True)]
        spent[-1] -= idle * (closed - opened)
        came = {bound: n - latencies.get(bound, 0.0) for bound, n in arena.latencies(contestant).items()}
        written = arena.watcher.written(opened - period)
    times = [written.get(symbol, []) for symbol in arena.symbols]
    count = sum(opened <= time <= closed for one in times for time in one)

    def on_time(rate: float) -> float:
        return statistics.fmean(share_on_time(one, opened, closed, period, rate=rate) for one in times)

    dispatch_us, work_us, redis_us = (one / count * 1e6 if count else None for one in spent)
    p50_ms, p99_ms = (quantile(came, share) if count else None for share in (0.5, 0.99))
    return Window(
        contestant.name,
        len(times),
        on_time(1.0),
        on_time(FORGIVEN_RATE),
        count / (closed - opened) / len(times),
        dispatch_us,
        work_us,
        redis_us,
        p50_ms,
        p99_ms,
        others,
    )


def _other_cpu() -> float:
    """CPU time of processes that are not part of this run, s."""
    return busy_seconds() - cpu_seconds(os.getpid())


def _redis_share(arena: Arena, seconds: float) -> float:
    """CPU time a second that the market alone costs Redis, s."""
    opened, before = time.monotonic(), arena.cpu()
    time.sleep(seconds)
    return (arena.cpu() - before) / (time.monotonic() - opened)


def _failovers(folder: Path, times: int, redbeat: Path | None) -> list[Failover]:
    found: list[Failover] = []
    print("")
    with Arena(folder / "failover", FAILOVER_SYMBOLS, redbeat) as arena:
        for contestant in arena.contestants:
            with arena.running(contestant, twice=True):
                time.sleep(2 * _SETTLE_S)
                for killed, roles in (("worker", contestant.workers), ("beat", contestant.beats)):
                    # A role that was started again is the standby, so kill the other one next.
                    gaps = [_gap_after_kill(arena, roles[i % len(roles)], len(roles) == 1) for i in range(times)]
                    found.append(Failover(contestant.name, killed, gaps))
                    print(found[-1])
    return found


def _gap_after_kill(arena: Arena, role: Role, alone: bool) -> float:
    """The longest time that any symbol has no report after ``role`` is killed, s.

    ``alone``: there is no second process, so it is started again at once; otherwise when all symbols have reports.
    """
    period = arena.settings.nt_report_period_ms / 1000
    killed = time.monotonic()
    arena.kill(role)
    if alone:
        arena.start_again(role)
    # The lock of a killed worker delays a symbol after the first reports of the others.
    quiet = killed + 2 * arena.settings.nt_lease_ttl_ms / 1000
    while (now := time.monotonic()) < killed + FAILOVER_BOUND_S:
        written = arena.watcher.written(killed - 4 * period)
        recent = [any(time > now - 2 * period for time in written.get(symbol, ())) for symbol in arena.symbols]
        if all(recent) and now > quiet:
            break
        time.sleep(0.05)
    written = arena.watcher.written(killed - 4 * period)
    gaps = [longest_gap(written.get(symbol, ()), killed, now) for symbol in arena.symbols]
    if not alone:
        arena.start_again(role)
    time.sleep(2 * _SETTLE_S)
    return min(max(gaps), FAILOVER_BOUND_S)
