"""The product with a fence that is none: a node asks whether its token is the newest, and then writes.

For ``celery -A tools.benchmarks.peers.naive_app worker``; all but the write is the product's. This is what a lease alone
comes to, as it is most often built (M. Kleppmann, "How to do distributed locking" (2016), shows how it fails). Between
the two steps the node may be stopped for longer than any lease lasts; here it is measured what leaving that out saves.
"""

from __future__ import annotations

import time

from tasks import cycles
from tasks.celery_app import app
from tasks.node import Node
from tasks.warm_symbol import WarmSymbol
from tickfence.coordination.keys import lease_key
from tickfence.monitoring import node_metrics as metrics
from tickfence.redis_access.raw_pipeline import pipeline
from tickfence.redis_access.scripts import execute

__all__ = ["app"]

_fenced = cycles._write  # fails if the product's write is found elsewhere one day


def check_then_write(
    node: Node,
    cycle: cycles.Cycle,
    found: list[tuple[WarmSymbol, cycles.Values]],
    generation: int,  # noqa: ARG001 - the product's write notes that the lease was renewed in it
) -> list[WarmSymbol]:
    """As the product's ``_write``, but in two round trips: check all tokens, then write what may be written.

    No write renews a lease, so the next cycle's first round trip asks for it again.
    """
    ask = pipeline(node.client)
    for warm, _ in found:
        ask.execute_command("HMGET", lease_key(warm.symbol), "owner", "token")
    held = [
        recorded == [str(node.owner).encode(), str(warm.token).encode()]
        for (warm, _), recorded in zip(found, execute(ask), strict=True)
    ]
    write, ttl_ms = pipeline(node.client), node.settings.nt_report_ttl_s * 1000
    for (_, values), may_write in zip(found, held, strict=True):
        for key, value in values.items() if may_write else ():
            write.execute_command("SET", key, value, "PX", ttl_ms)
    execute(write)
    refused = []
    for (warm, _), written in zip(found, held, strict=True):
        if written:
            warm.seq += 1
            warm.granted_at = time.monotonic()
        else:
            refused.append(warm)
    metrics.report_publish.labels(cycle.name).inc(len(found) - len(refused))
    return refused


cycles._write = check_then_write
