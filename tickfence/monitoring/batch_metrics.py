"""Prometheus metrics of a batch worker."""

from __future__ import annotations

from enum import StrEnum

from tickfence.monitoring.registry import RoleRegistry

registry = RoleRegistry()


class Ended(StrEnum):
    """How a message for a batch worker ended."""

    DONE = "done"
    FAILED = "failed"
    FENCED = "fenced"  # another worker has the partition now
    GIVEN_BACK = "given back"  # the worker is to stop
    DROPPED = "dropped"  # there was nothing to do: it is done, another has it, or its job is gone


partitions = registry.counter(
    "nt_batch_partitions", "Messages for partitions that the batch worker took, by how they ended", ended=Ended
)
reports = registry.counter("nt_batch_reports", "Reports made again from recorded data")
redis_errors = registry.counter("nt_batch_redis_errors", "Failed calls to the data plane")
