"""Which recorded time batch jobs read, so that nobody deletes it under them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tickfence.batch.job import Done
from tickfence.batch.store import read_jobs, see
from tickfence.keys import Keys
from tickfence.recordings.layout import HOUR_MS

LEAD_MS = 27 * HOUR_MS
"""How far before its own time a partition reads: the exchange's rules of a day before its lead-in."""
TAIL_MS = HOUR_MS
"""The same behind it."""


def times_read(client: Any, keys: Keys) -> Iterator[tuple[int, int]]:
    """Yield what each partition that is not done reads: from when, and the ms after.

    It may be in work, wait in a worker's queue, or wait for ``--resume``: a job counts for as long as Redis knows it, a
    week after its last use.

    Args:
        client: of the data plane.
        keys: of the deployment.

    Raises:
        ValueError: a job or a result cannot be read.
        redis.exceptions.RedisError: Redis cannot be reached.
    """
    for job in read_jobs(client, keys):
        found = see(client, keys, job.id, (part.name for part in job.partitions))
        for part in job.partitions:
            if not isinstance(found[part.name].result, Done):
                yield part.from_ms - LEAD_MS, part.to_ms + TAIL_MS
