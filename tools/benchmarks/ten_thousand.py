"""10,000 symbols, 40 nodes and three beats on a Redis Cluster, all of them real processes on this machine, and faults.

    python -m tools.benchmarks.ten_thousand [--symbols 10000] [--nodes 40] [--period 10] [--set NT_HEARTBEAT_TTL_MS=2000]

The cadence is slow, so that it fits a small machine. The slow cycle is eight times as slow, as by default, and history is
off. After a steady time come the faults: SIGKILL of a node, of the leading beat and of a Redis master, and a rolling
restart. Every report and lease is read from outside. The status is 1 if a symbol has no fresh report at the end, if a lease
was refused, or if a token fell other than by the loss of a master.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tools.benchmarks import machine, plots
from tools.benchmarks.fleet_faults import leader_kill, master_kill, node_kill, rolling_restart
from tools.benchmarks.regularity import regularity
from tools.benchmarks.scene import Scene

READY_S = 240.0
SLOW_CYCLES = 8
END_PERIODS = 3
"""In so long every symbol must have a new report at the end."""
LEASE_PERIODS = 3
FAULT_PERIODS = 2
"""So long is the time after a fault that is judged for regularity."""


def variables(period_s: float, more: list[str]) -> dict[str, str]:
    """The settings of nodes and beats: the period, what follows from it, and ``NAME=VALUE`` of the command line."""
    period_ms = round(period_s * 1000)
    return {
        "NT_REPORT_PERIOD_MS": str(period_ms),
        "NT_SLOW_PERIOD_MS": str(SLOW_CYCLES * period_ms),
        "NT_LEASE_TTL_MS": str(LEASE_PERIODS * period_ms),
        "NT_SNAPSHOT_INTERVAL_MS": "60000",
        "NT_HISTORY_MINUTES": "0",
        **dict(one.partition("=")[::2] for one in more),
    }


class Measured:
    """Carries out the phases of a run in turn and keeps what they show.

    Args:
        scene: the deployment.
        period_s: of the fast cycle.

    Attributes:
        found: phase -> its numbers.
        marks: (seconds since the begin, phase).
    """

    def __init__(self, scene: Scene, period_s: float) -> None:
        self.scene, self.period_s = scene, period_s
        self.found: dict[str, dict[str, Any]] = {}
        self.marks: list[tuple[float, str]] = []
        self.began = time.time()

    def phase(self, name: str, act: Callable[[], dict[str, Any]]) -> None:
        """Do it, and print what it shows."""
        at = time.time()
        self.marks.append((at - self.began, name))
        found = act()
        if name != "start":
            periods = max(FAULT_PERIODS, int((time.time() - at) / self.period_s))
            time.sleep(max(0.0, at + periods * self.period_s + 1 - time.time()))
            found |= {"reports": self._reports(at, periods)}
        self.scene.read_events()
        self.found[name] = found
        print(f"{name:16}", "; ".join(f"{key} {_shown(value)}" for key, value in found.items()), flush=True)

    def start(self) -> dict[str, Any]:
        """Start the fleet, and wait until every symbol has a report."""
        scene = self.scene
        for name in scene.fleet.commands:
            scene.fleet.start(name)
        nodes = len(scene.fleet.nodes)
        scene.wait(lambda: len(scene.loads()) == nodes, "symbols for every node", READY_S)
        assigned = time.time() - self.began
        scene.wait(lambda: not scene.without_report_since(0), "a report of every symbol", READY_S)
        return {"every node has symbols": assigned, "every symbol has a report": time.time() - self.began}

    def steady(self, periods: int) -> dict[str, Any]:
        """Do nothing for some periods, and see what that costs."""
        cpu, began = self.scene.cpu_s(), time.monotonic()
        time.sleep(periods * self.period_s)
        took = time.monotonic() - began
        shares = {kind: (spent - cpu[kind]) / took for kind, spent in self.scene.cpu_s().items()}
        loads = self.scene.loads().values()
        memory = [
            size / 1e6 for name, size in self.scene.fleet.memory_bytes().items() if name in self.scene.fleet.nodes
        ]
        return {
            "share of a core": shares,
            "symbols of a node": {"least": min(loads), "most": max(loads)},
            "MB of a node": {"median": statistics.median(memory), "most": max(memory)},
        }

    def per_second(self) -> list[int]:
        """Reports made in each second since the begin."""
        counts = [0] * (int(time.time() - self.began) + 1)
        for seen in self.scene.leases.seen.values():
            for one in seen:
                at = int(one.at_ms / 1000 - self.began)
                if 0 <= at < len(counts):
                    counts[at] += 1
        return counts

    def _reports(self, since: float, periods: int) -> dict[str, Any]:
        times = {symbol: [one.at_ms / 1000 for one in seen] for symbol, seen in self.scene.leases.seen.items()}
        found = regularity(times, self.scene.symbols, since, periods, self.period_s)
        return {**found._asdict(), "share": found.share}


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Carry out the scenario; returns what is kept as JSON."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Scene(
            given.logs or Path(folder),
            given.symbols,
            given.nodes,
            given.beats,
            variables(given.period, given.set),
            given.market_every,
            given.node_timeout_ms,
        ) as scene,
    ):
        measured, nodes = Measured(scene, given.period), scene.fleet.nodes
        measured.phase("start", measured.start)
        time.sleep(2 * given.period)
        measured.phase("steady", lambda: measured.steady(given.steady_periods))
        if not given.no_faults:
            for node in nodes[: given.node_kills]:
                measured.phase(f"kill {node}", partial(node_kill, scene, node))
            for number in range(min(given.beat_kills, given.beats - 1)):
                measured.phase(f"kill beat {number + 1}", lambda: leader_kill(scene))
            if restarted := nodes[given.node_kills : given.node_kills + given.restarts]:
                measured.phase("rolling restart", lambda: rolling_restart(scene, restarted))
        lost_master_at = time.time()
        if not given.no_faults and not given.no_master_kill:
            measured.phase("kill a master", lambda: master_kill(scene))
        fresh_since = time.time() * 1000
        time.sleep(END_PERIODS * given.period)
        falls = scene.leases.falls
        end = {
            "stale symbols": len(scene.without_report_since(fresh_since)),
            "conflicts": scene.conflicts(),
            "tokens fell before the loss of a master": len({f.symbol for f in falls if f.at < lost_master_at}),
            "tokens fell after it": len({f.symbol for f in falls if f.at >= lost_master_at}),
            "passes": scene.leases.passes,
            "longest pass": scene.leases.longest_pass_s,
            "node events": dict(scene.departures()),
        }
        print(f"{'end':16}", "; ".join(f"{key} {_shown(value)}" for key, value in end.items()))
        return {
            "symbols": given.symbols,
            "period": given.period,
            "phases": {**measured.found, "end": end},
            "marks": measured.marks,
            "per_second": measured.per_second(),
        }


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_shown(one)}" for key, one in value.items()) + ")"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"


def main() -> int:
    """Carry out the command line; returns the exit status."""
    p = argparse.ArgumentParser(prog="python -m tools.benchmarks.ten_thousand", description=__doc__.splitlines()[0])
    p.add_argument("--symbols", type=int, default=10_000, help="how many (%(default)s)")
    p.add_argument("--nodes", type=int, default=40, help="how many (%(default)s)")
    p.add_argument("--beats", type=int, default=3, help="how many (%(default)s)")
    p.add_argument("--period", type=float, default=10.0, help="seconds between two reports of a symbol (%(default)s)")
    p.add_argument("--steady-periods", type=int, default=6, help="length of the steady time (%(default)s)")
    p.add_argument(
        "--market-every", type=float, default=4.0, help="seconds between two diffs of a symbol (%(default)s)"
    )
    p.add_argument("--node-timeout-ms", type=int, default=2000, help="cluster-node-timeout of Redis (%(default)s)")
    p.add_argument("--node-kills", type=int, default=1, help="nodes that are killed (%(default)s)")
    p.add_argument("--beat-kills", type=int, default=1, help="leading beats that are killed (%(default)s)")
    p.add_argument("--restarts", type=int, default=4, help="nodes that are restarted (%(default)s)")
    p.add_argument("--no-master-kill", action="store_true", help="let all Redis masters live")
    p.add_argument("--no-faults", action="store_true", help="measure the steady time alone")
    p.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of nodes and beats")
    p.add_argument("--logs", type=Path, help="folder for the logs of nodes and beats, which are not kept by default")
    p.add_argument("--out", type=Path, help="folder for the numbers and the plot")
    given = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(machine.described(), flush=True)
    found = run(given)
    if given.out:
        kept = {"machine": machine.facts(), "found": found}
        (given.out / "ten_thousand.json").write_text(json.dumps(kept, indent=1) + "\n")
        plots.draw("ten_thousand", found, given.out / "ten_thousand.png")
    end = found["phases"]["end"]
    wrong = ("stale symbols", "conflicts", "tokens fell before the loss of a master")
    return int(any(end[name] for name in wrong))


if __name__ == "__main__":
    sys.exit(main())
