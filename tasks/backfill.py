"""The task of a batch worker. Its messages come from ``celery -A tasks backfill``, see docs/batch.md."""

from __future__ import annotations

from tasks.celery_app import app
from tasks.lifecycle import this_batch_worker


@app.task(  # type: ignore[untyped-decorator]
    name="tasks.backfill_partition", acks_late=True, reject_on_worker_lost=True, ignore_result=True, max_retries=0
)
def backfill_partition(job: str, partition: str, generation: int) -> None:
    """Make the reports of one partition again.

    What it is to do, and how it ended, is in Redis under the job's id. A message that comes twice, or late, does nothing.

    Args:
        job: id of the job.
        partition: name of the partition.
        generation: of this dispatch; a newer one takes the partition away from this one.
    """
    worker = this_batch_worker()
    # Only here: a node has this task too, and never needs pyarrow.
    from tasks.partition_run import Message, run_partition  # noqa: PLC0415

    run_partition(worker, Message(job, partition, generation), worker.rebuild)
