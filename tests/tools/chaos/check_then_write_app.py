"""The product with a fence that is none: it reads who holds the lease, and writes in another call, a while later.

For ``celery -A tests.tools.chaos.check_then_write_app worker``; all but the fence is the product's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import redis

from tasks import cycles
from tasks.celery_app import app
from tickfence.coordination.keys import lease_key, report_key
from tickfence.coordination.lease import FENCED_WRITE, Write
from tickfence.coordination.owner import Owner
from tickfence.settings import load

__all__ = ["app"]

# Most of a period: wherever such a writer is stopped, it is most likely between its check and its write.
WINDOW_S = 0.22

_JUDGE = "local function judge(key, token, seq)\n"
assert _JUDGE in FENCED_WRITE.source, "fenced_write.lua judges elsewhere now"
WRITE = FENCED_WRITE.source.replace(_JUDGE, f"{_JUDGE}  do return 'written' end\n")

_client = redis.Redis.from_url(load().redis_url, decode_responses=True)
_queue_writes = cycles.queue_writes


class _Calls:
    """Takes the call of a script that is meant for a pipeline, and puts that of another one there."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def execute_command(self, _evalsha: str, _sha: str, *rest: Any) -> None:
        self._pipe.execute_command("EVAL", WRITE, *rest)


def check_then_write(pipe: Any, owner: Owner, writes: Sequence[Write], ttl_ms: int, lease_ms: int) -> None:
    """As :func:`tickfence.coordination.lease.queue_writes`, but for check and write being two steps."""
    held = all(_client.hmget(lease_key(w.symbol), "owner", "token") == [str(owner), str(w.token)] for w in writes)
    if any(report_key(write.symbol) in write.values for write in writes):
        time.sleep(WINDOW_S)
    _queue_writes(_Calls(pipe) if held else pipe, owner, writes, ttl_ms, lease_ms)


cycles.queue_writes = check_then_write
