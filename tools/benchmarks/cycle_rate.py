"""How exactly beat keeps its rate: a real `celery -A tasks beat`, measured by the messages that arrive.

    python -m tools.benchmarks.cycle_rate [--seconds 60] [--period-ms 250]

In 60 s at 250 ms the number of cycles must be 240 ± 1. It also prints how late the cycles are sent.
"""

import argparse
import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import redis

from tickfence.coordination.clock import ServerClock
from tickfence.coordination.dispatch import Dispatch
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import Registration
from tickfence.keys import Keys
from tools.local.embedded_redis import EmbeddedRedis

ROOT = Path(__file__).parents[2]
NODE = "node-001"
SYMBOL = "BTCUSDT"
CLOCK_MS = 10


def receive(broker: redis.Redis, until: float, times: list[int], enough: int | None = None) -> None:
    """Take the messages to the node, as it would, and append when each fast cycle was sent (server ms).

    Args:
        broker: client of the broker.
        until: monotonic time, s.
        times: where to append.
        enough: stop after so many.
    """
    while time.monotonic() < until and (enough is None or len(times) < enough):
        found = broker.brpop([NODE], timeout=0.2)
        if not found:
            continue
        message = json.loads(found[1])
        if message["headers"]["task"] == "tasks.fast_cycle":
            (_, dispatch), _, _ = json.loads(base64.b64decode(message["body"]))
            times.append(Dispatch(*dispatch).due_ms)


def measure(seconds: float, period_ms: int) -> list[int]:
    """When each cycle of a window was sent, server ms; the window begins with the fifth cycle."""
    with EmbeddedRedis() as server, server.client(db=1) as broker:
        node = Registration(
            server.url(),
            Keys(),
            Owner.start(NODE),
            {"weight": 1},
            interval_ms=250,
            ttl_ms=30_000,
            clock=ServerClock(),
            on_replaced=lambda _: None,
        )
        node.register()
        node.announce()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NT_")} | {
            "REDIS_URL": server.url(),
            "CELERY_BROKER_URL": server.url(1),
            "SYMBOLS": SYMBOL,
            "NT_REPORT_PERIOD_MS": str(period_ms),
            "NT_LEASE_TTL_MS": str(10 * period_ms),
            "NT_SLOW_PERIOD_MS": str(max(2000, period_ms)),
            "NT_HEARTBEAT_TTL_MS": "30000",
            "NT_METRICS_PORT": "0",
        }
        beat = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tasks", "beat"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            times: list[int] = []
            receive(broker, time.monotonic() + 30, times, enough=5)
            if len(times) < 5:
                raise SystemExit("error: beat sent nothing")
            opened = times[4] - period_ms // 2
            closed = opened + seconds * 1000
            receive(broker, time.monotonic() + seconds + 1, times)
            return [moment for moment in times if opened <= moment < closed]
        finally:
            beat.send_signal(signal.SIGTERM)
            beat.wait(10)
            node.leave()


def main() -> int:
    """Carry out the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--period-ms", type=int, default=250)
    given = parser.parse_args()
    times = measure(given.seconds, given.period_ms)
    expected = round(given.seconds * 1000 / given.period_ms)
    # Beat estimates the server's clock, so a cycle may seem a few ms early: that is not a whole period late.
    late = sorted((moment + CLOCK_MS) % given.period_ms - CLOCK_MS for moment in times)
    print(f"cycles in {given.seconds:g} s at {given.period_ms} ms: {len(times)} (expected {expected} ± 1)")
    print(f"sent after due, ms: median {late[len(late) // 2]}, p99 {late[int(len(late) * 0.99)]}, max {late[-1]}")
    return 0 if abs(len(times) - expected) <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
