"""The product with a fence that is none: it reads who holds the lease, and writes in another call, a while later.

For ``celery -A tests.tools.chaos.check_then_write_app worker``; all but the fence is the product's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from celery.signals import celeryd_init

from tasks.celery_app import app
from tasks.lifecycle import this_node  # connects its own handlers first
from tasks.writers import Writer
from tickfence.coordination.lease import FENCED_WRITE, Write, Written, parse_outcomes, write_command
from tickfence.redis_access.scripts import send

__all__ = ["app"]

# Most of a period: wherever such a writer is stopped, it is most likely between its check and its write.
WINDOW_S = 0.22

_JUDGE = "local function judge(key, token, seq)\n"
assert _JUDGE in FENCED_WRITE.source, "fenced_write.lua judges elsewhere now"
UNJUDGED = FENCED_WRITE.source.replace(_JUDGE, f"{_JUDGE}  do return 'written' end\n")


class CheckThenWrite(Writer):
    """Writes as the product does, but check and write are two steps, with a window between them."""

    def write(self, client: Any, writes: Sequence[Write]) -> list[Written]:
        owner = str(self._owner).encode()
        recorded = send(client, [("HMGET", write.lease, "owner", "token") for write in writes])
        held = recorded == [[owner, b"%d" % write.token] for write in writes]
        if any(key.startswith("report:") for write in writes for key in write.values):
            time.sleep(WINDOW_S)
        if not held:
            return super().write(client, writes)
        _, _, *call = write_command(self._owner, writes, self._ttl_ms, self._lease_ms)
        [reply] = send(client, [("EVAL", UNJUDGED, *call)])
        return parse_outcomes(reply)


@celeryd_init.connect
def check_then_write(**_: Any) -> None:
    """Give the node its writer, before it has any symbols."""
    node = this_node()
    node.writer = CheckThenWrite(node.owner, node.settings)
