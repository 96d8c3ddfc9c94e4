"""``python -m tools.fuzz``: run, and print what was found. Exit status 1 where a report was not true."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence

from tools.fuzz.virtual_time import VirtualTime
from tools.local.embedded_redis import EmbeddedRedis

SHARE = 0.95
"""There must be a report in this share of the cycles in which there could be one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description="random exchange histories, checked")
    parser.add_argument("--messages", type=int, default=100_000, help="how many (default %(default)s)")
    parser.add_argument("--era", type=int, default=50_000, help="messages of one exchange (default %(default)s)")
    parser.add_argument(
        "--seed", help="the same seed gives the same run; 7.3 is era 3 of seed 7 (default: a random one)"
    )
    parser.add_argument(
        "--venue", default="binance,okx", help="whose dialects the exchanges have, in turn (default %(default)s)"
    )
    parser.add_argument("--go-on", action="store_true", help="count what is not true instead of ending there")
    parser.add_argument("--verbose", action="store_true", help="log what the product logs")
    arguments = parser.parse_args(argv)
    seed = arguments.seed or str(int.from_bytes(os.urandom(4)))
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.CRITICAL, stream=sys.stderr)

    with EmbeddedRedis() as server:
        clock = VirtualTime()
        clock.install()
        os.environ |= {"REDIS_URL": server.url(), "CELERY_BROKER_URL": server.url(1), "SYMBOLS": "BTCUSDT"}
        from tools.fuzz.run import VENUES, Violation, run  # noqa: PLC0415 - the product must find this time and this environment

        kinds = arguments.venue.split(",")
        if unknown := [kind for kind in kinds if kind not in VENUES]:
            parser.error(f"--venue {','.join(unknown)}: must be of {', '.join(VENUES)}")
        print(f"seed {seed}", flush=True)
        started = time.perf_counter()
        try:
            found = run(
                clock,
                server.url(),
                seed,
                kinds,
                messages=arguments.messages,
                of_era=arguments.era,
                go_on=arguments.go_on,
                show=lambda line: print(line, flush=True),
            )
        except Violation as violation:
            print(f"NOT TRUE: {violation}")
            return 1
    share = found.there / max(found.possible, 1)
    print(f"{found.messages} messages, {found.reports} reports checked ({found.flows} with a whole flow, ", end="")
    print(f"{found.profiles} volume profiles), {found.excused} excused by what was not told")
    print(f"not true: {sum(found.false.values())} {dict(found.false) or ''}")
    print(f"reports in {found.there} of {found.possible} cycles in which there could be one: {share:.2%}")
    print("faults: " + ", ".join(f"{name} {count}" for name, count in sorted(found.faults.items())))
    print(f"{found.virtual_s:.0f} s of the exchange's time in {time.perf_counter() - started:.0f} s")
    return 0 if share >= SHARE and not found.false else 1


if __name__ == "__main__":
    sys.exit(main())
