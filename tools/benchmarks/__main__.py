"""``make bench``: all groups of benchmarks, one after the other, with their results in ``tools/benchmarks/results/``.

    python -m tools.benchmarks [--only calculators,hrw] [--seconds 5] [--out tools/benchmarks/results]

``--only`` runs single groups, ``--seconds`` makes them short. Both sides of a ratio are measured in turn in one run, so
that a slow or busy machine slows both. All groups take half an hour. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.benchmarks import (
    calculators,
    capacity,
    coordination_price,
    cycle_rate,
    history_readers,
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

GROUPS: dict[str, Callable[..., Any]] = {
    "calculators": calculators.main,
    "hrw": hrw.main,
    "coordination_price": coordination_price.main,
    "cycle_rate": cycle_rate.run,
    "ingest": ingest_rate.run,
    "latency": latency.run,
    "capacity": capacity.run,
    "overload": overload.run,
    "history_readers": history_readers.run,
    "side_by_side": side_by_side.run,
}
"""Name -> what measures it, prints it, and returns what is kept as JSON. It takes ``seconds`` if it is in TIMED."""

TIMED = ("cycle_rate", "ingest", "latency", "capacity", "overload", "history_readers", "side_by_side")


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
    p.add_argument("--seconds", type=float, help=f"length of a measurement in {', '.join(TIMED)} (as published)")
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
                found = GROUPS[name](**({"seconds": given.seconds} if given.seconds and name in TIMED else {}))
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
