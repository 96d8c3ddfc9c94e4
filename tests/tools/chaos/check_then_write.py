"""A writer that fences on its own side, as one must not: it reads the newest token, and then it writes.

``python -m tests.tools.chaos.check_then_write PORT SYMBOL NODE GENERATION``. It takes the lease once, prints its token,
and then writes a report for every line on its standard input, if its token is the newest. After the line ``pause`` it
stops itself (SIGSTOP) between check and write, until somebody lets it go on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import redis

from tickfence.coordination.lease import parse_grant
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.redis_access.scripts import send
from tickfence.settings import Settings
from tools.benchmarks.peers.naive_writer import NaiveWriter

LEVELS = [{"price": 1.0, "qty": 1.0}]


class StoppingWriter(NaiveWriter):
    """Stops its process between check and write, if ``stops`` is set."""

    stops = False

    def between(self) -> None:
        if self.stops:
            os.kill(os.getpid(), signal.SIGSTOP)


def main(port: int, symbol: Instrument, node: str, generation: int) -> None:
    """Write as told on standard input."""
    owner, settings = Owner(node, "1"), Settings.from_environment({})
    client, writer = redis.Redis(port=port), StoppingWriter(owner, settings)
    lease = writer.lease(symbol)
    [reply] = send(client, [lease.acquire(generation)])
    lease.granted(parse_grant(reply), time.monotonic())
    print(lease.token, flush=True)
    for line in sys.stdin:
        writer.stops = line.strip() == "pause"
        report = {
            "writer": {"nodeId": str(owner), "writerToken": lease.token},
            "depth": {"bids": LEVELS, "asks": LEVELS},
        }
        write = lease.next_write({settings.keys.report(symbol): json.dumps(report).encode()})
        [outcome] = writer.write(client, [write])
        print("written" if lease.outcome(outcome, time.monotonic()) else "refused", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Instrument(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
