"""``make bench``: all groups of benchmarks, one after the other, with their results in ``tools/benchmarks/results/``.

    python -m tools.benchmarks [--only calculators,hrw] [--out tools/benchmarks/results]

One group without results: ``python -m tools.benchmarks.hrw``. Both sides of a ratio are measured in turn in one run, so
that a slow or busy machine slows both. All groups take half an hour. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools.benchmarks import (
    calculators,
    capacity,
    coordination_price,
    cycle_rate,
    hrw,
    ingest_rate,
    latency,
    machine,
    overload,
    plots,
    side_by_side,
)
from tools.benchmarks.stack import StackError

RESULTS = Path(__file__).parent / "results"
MIN_SYMBOLS, MAX_SYMBOLS, NODES = 1000, 1400, 2
PEER_STEPS = (30, 60, 100, 200, 400, 800, 1000)


def _capacity() -> dict[str, Any]:
    found, measurements = capacity.search(MIN_SYMBOLS, MAX_SYMBOLS, NODES, seconds=20)
    print(f"capacity: {found} symbols at 4 Hz, {NODES} nodes")
    return {"symbols": found, "points": [asdict(one) for one in measurements]}


def _latency() -> list[dict[str, Any]]:
    measurements = latency.run(seconds=10)
    latency.show_costs(measurements)
    return [asdict(one) for one in measurements]


def _overload() -> dict[str, Any]:
    return overload.run(symbols=1000, nodes=NODES, seconds=20, factor=4).as_dict()


def _ingest() -> dict[str, Any]:
    found = ingest_rate.run()
    ingest_rate.show(found)
    return found


def _cycle_rate() -> None:
    sys.argv = ["cycle_rate"]
    cycle_rate.main()


GROUPS: dict[str, Callable[[], Any]] = {
    "calculators": calculators.main,
    "hrw": hrw.main,
    "coordination_price": coordination_price.main,
    "cycle_rate": _cycle_rate,
    "ingest": _ingest,
    "latency": _latency,
    "capacity": _capacity,
    "overload": _overload,
    "side_by_side": lambda: side_by_side.run(seconds=7, steps=PEER_STEPS),
}


class _Tee(io.TextIOBase):
    """Prints text at once, and keeps it."""

    def __init__(self) -> None:
        self.kept = io.StringIO()
        self._terminal = sys.stdout

    def write(self, text: str) -> int:
        self._terminal.write(text)
        self._terminal.flush()
        return self.kept.write(text)


def parser() -> argparse.ArgumentParser:
    """The parser of all options."""
    p = argparse.ArgumentParser(prog="python -m tools.benchmarks", description=__doc__.splitlines()[0])
    p.add_argument("--only", type=_groups, default=list(GROUPS), help=f"comma-separated: {', '.join(GROUPS)} (all)")
    p.add_argument("--out", type=Path, default=RESULTS, help="folder for tables, JSON and plots (%(default)s)")
    return p


def _groups(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := sorted(set(chosen) - set(GROUPS)):
        raise argparse.ArgumentTypeError(f"no group {', '.join(unknown)}: must be of {', '.join(GROUPS)}")
    return chosen


def main() -> int:
    """Carry out the command line; returns the exit status."""
    given = parser().parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        tee = _Tee()
        with contextlib.redirect_stdout(tee):
            print(f"== {name}: {machine.described()}")
            try:
                found = GROUPS[name]()
            except StackError as error:
                raise SystemExit(f"error: {name}: {error}") from None
            print()
        (given.out / f"{name}.txt").write_text(tee.kept.getvalue())
        if found is not None:
            kept = {"machine": machine.facts(), "found": found}
            (given.out / f"{name}.json").write_text(json.dumps(kept, indent=1, allow_nan=True) + "\n")
            plots.draw(name, found, given.out / f"{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
