"""A writer that fences on its own side, as one must not: it reads the newest token, and then it writes.

``python -m tests.tools.chaos.check_then_write PORT SYMBOL NODE``. It takes the lease with a new token once, prints it, and
then writes a report for every line on its standard input, if its token is the newest. ``pause`` on a line makes it
stop itself (SIGSTOP) between check and write, until somebody lets it go on.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import redis

LEVELS = [{"price": 1.0, "qty": 1.0}]


def main(port: int, symbol: str, node: str) -> None:
    """Write as told on standard input."""
    client = redis.Redis(port=port, decode_responses=True)
    lease, owner = f"lease:{{report:{symbol}}}", f"{node}/1"
    take = "redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'token', redis.call('HINCRBY', KEYS[1], 'token', 1))"
    client.eval(f"{take} return redis.call('HGET', KEYS[1], 'token')", 1, lease, owner)
    token = int(client.hget(lease, "token") or 0)
    print(token, flush=True)
    for line in sys.stdin:
        checked = int(client.hget(lease, "token") or 0) == token
        if line.strip() == "pause":
            os.kill(os.getpid(), signal.SIGSTOP)
        if checked:
            report = {
                "writer": {"nodeId": owner, "writerToken": token},
                "depth": {"bids": LEVELS, "asks": LEVELS},
            }
            client.set(f"report:{symbol}", json.dumps(report))
        print("written" if checked else "refused", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
