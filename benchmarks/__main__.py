"""``make bench``: every group, one after the other. One alone: ``python -m benchmarks.hrw``."""

from __future__ import annotations

import os
import platform
import sys

from benchmarks import calculators, coordination_price, cycle_rate, hrw


def main() -> int:
    """Run all groups; the status is that of the one that has a verdict."""
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}\n")
    for group in (calculators, hrw, coordination_price):
        print(f"== {group.__name__.partition('.')[2]}", flush=True)
        group.main()
        print()
    print("== cycle_rate", flush=True)
    sys.argv = ["cycle_rate"]
    return cycle_rate.main()


if __name__ == "__main__":
    sys.exit(main())
