"""The largest number of symbols at 4 Hz with at least 99 % of the reports on time, everything on this machine.

    python -m tools.benchmarks.capacity [--least 600] [--most 2000] [--nodes 2] [--seconds 20]

Every role runs: exchange (10 diffs and 5 trades a second each symbol), ingest, Redis, beat, nodes, with full reports.
A number of symbols is tried a second time if the first was not good enough: something else may have been going on.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools.benchmarks.point import Point, measure
from tools.benchmarks.stack import Stack, StackError

ENOUGH = 0.99
TRIES = 2
STEP = 100
WARM_UP_S = 15.0


def look(symbols: int, nodes: int, seconds: float, warm_up_s: float = WARM_UP_S) -> Point:
    """One measurement of a stack of its own.

    Raises:
        StackError: it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Stack(Path(folder), symbols, nodes) as stack:
        stack.settle(warm_up_s)
        return measure(stack, nodes, seconds)


def search(
    least: int, most: int, nodes: int, seconds: float, say: Callable[[str], None] = print
) -> tuple[int, list[Point]]:
    """Capacity in steps of 100 symbols, by bisection, and all that was seen. 0 where not even ``least`` is carried."""
    points: list[Point] = []

    def carries(symbols: int) -> bool:
        for _ in range(TRIES):
            try:
                found = look(symbols, nodes, seconds)
            except StackError as error:
                say(f"{symbols:5} symbols, {nodes} nodes: {error}")
                continue
            say(found.line())
            points.append(found)
            if found.on_time >= ENOUGH:
                return True
        return False

    if not carries(least):
        return 0, points
    good, bad = least, most + STEP
    while bad - good > STEP:
        tried = (good + bad) // (2 * STEP) * STEP
        if carries(tried):
            good = tried
        else:
            bad = tried
    return good, points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--least", type=int, default=600)
    parser.add_argument("--most", type=int, default=2000)
    parser.add_argument("--nodes", type=int, default=2, choices=(1, 2, 3))
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    found, _ = search(given.least, given.most, given.nodes, given.seconds)
    print(f"capacity: {found} symbols at 4 Hz on {given.nodes} nodes")


if __name__ == "__main__":
    main()
