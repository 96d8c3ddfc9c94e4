"""Rendezvous hashing at scale: what an assignment costs, and how many symbols move compared with the minimum.

    python -m tools.benchmarks.hrw

10,000 symbols are on 100 nodes. One node joins, then one leaves. The minimum is 1/N of the symbols: those that the new
node must get, or those that the node that leaves had.
"""

from __future__ import annotations

import statistics
from collections import Counter
from time import perf_counter

from tickfence.coordination.assignment import assign
from tickfence.instrument import Instrument

SYMBOLS = [Instrument(f"SYM{i}USDT") for i in range(10_000)]
NODES = {f"node-{i:03}": 1.0 for i in range(100)}
RUNS = 9


def main() -> None:
    """Measure, and print a line for each case."""
    times = []
    for _ in range(RUNS):
        started = perf_counter()
        before = assign(SYMBOLS, NODES, {})
        times.append((perf_counter() - started) * 1000)
    load = Counter(before.values())
    print(
        f"assign 10,000 symbols to 100 nodes   median {statistics.median(times):.0f} ms  (min {min(times):.0f}, max {max(times):.0f})"
    )
    print(f"symbols on a node                    min {min(load.values())}, max {max(load.values())}, bound 125")

    joined = assign(SYMBOLS, {**NODES, "node-100": 1.0}, before)
    _moves("a node joins", before, joined, ideal=len(SYMBOLS) / 101)

    survivors = {name: weight for name, weight in NODES.items() if name != "node-000"}
    orphans = load["node-000"]
    stay = [symbol for symbol, node in before.items() if node != "node-000"]
    _moves(
        "a node dies (survivors keep theirs)", before, assign(SYMBOLS, survivors, before, pinned=stay), ideal=orphans
    )
    _moves("the same, with voluntary moves", before, assign(SYMBOLS, survivors, before), ideal=orphans)


def _moves(what: str, before: dict[Instrument, str], after: dict[Instrument, str], ideal: float) -> None:
    moved = sum(before[symbol] != after[symbol] for symbol in SYMBOLS)
    print(f"{what:36} {moved} symbols move, ideal {ideal:.0f}, ratio {moved / ideal:.2f}")


if __name__ == "__main__":
    main()
