"""How exactly beat keeps its rate: a real `celery -A tasks beat`, measured by the messages that arrive.

    python -m tools.benchmarks --only cycle_rate

In 60 s at 250 ms the number of cycles must be 240 ± 1. It also prints how late the cycles are sent.
"""

import base64
import json
import os
import signal
import subprocess
import time

import redis

from tickfence.coordination.clock import ServerClock
from tickfence.coordination.dispatch import Dispatch
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import Registration
from tickfence.keys import Keys
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.roles import ROOT, celery, without_settings

NODE = "node-001"
SYMBOL = "BTCUSDT"
PERIOD_MS = 250
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
            times.append(Dispatch(*dispatch).sent_ms)


def measure(seconds: float) -> list[int]:
    """When each cycle of a window was sent, server ms; the window begins with the fifth cycle."""
    with EmbeddedRedis() as server, server.client(db=1) as broker:
        node = Registration(
            server.url(),
            Keys().node_group,
            Owner.start(NODE),
            {"weight": 1},
            interval_ms=250,
            ttl_ms=30_000,
            clock=ServerClock(),
            on_replaced=lambda _: None,
        )
        node.register()
        node.announce()
        environment = without_settings(os.environ) | {
            "REDIS_URL": server.url(),
            "CELERY_BROKER_URL": server.url(1),
            "SYMBOLS": SYMBOL,
            "NT_HEARTBEAT_TTL_MS": "30000",
            "NT_METRICS_PORT": "0",
        }
        beat = subprocess.Popen(
            celery("beat"),
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
            opened = times[4] - PERIOD_MS // 2
            closed = opened + seconds * 1000
            receive(broker, time.monotonic() + seconds + 1, times)
            return [moment for moment in times if opened <= moment < closed]
        finally:
            beat.send_signal(signal.SIGTERM)
            beat.wait(10)
            node.leave()


def run(seconds: float = 60.0) -> None:
    """Measure for some ``seconds``, and print the number of cycles and how late they were sent."""
    times = measure(seconds)
    expected = round(seconds * 1000 / PERIOD_MS)
    # Beat estimates the server's clock, so a cycle may seem a few ms early: that is not a whole period late.
    late = sorted((moment + CLOCK_MS) % PERIOD_MS - CLOCK_MS for moment in times)
    print(f"cycles in {seconds:g} s at {PERIOD_MS} ms: {len(times)} (expected {expected} ± 1)")
    print(f"sent after due, ms: median {late[len(late) // 2]}, p99 {late[int(len(late) * 0.99)]}, max {late[-1]}")
