"""``celery batch``: the batch workers, the jobs, and the partitions of one."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.markup import escape

from tickfence.batch.job import Done, Failed, Job
from tickfence.batch.scheduling import ATTEMPTS, Seen
from tickfence.batch.store import read_job, read_jobs, see
from tickfence.batch.workers import live_batch_workers
from tickfence.cli.fitting import Column, FittingTable
from tickfence.cli.session import NothingThere, View
from tickfence.cli.style import coloured, duration
from tickfence.settings import Settings

_COLOURS = {"done": "green", "running": "cyan", "failed": "yellow", "set aside": "bold red", "waiting": None}


def read(client: Any, settings: Settings, job_id: str | None) -> View:
    """Read the workers and jobs, or the partitions of one job.

    Raises:
        NothingThere: there is no such job.
    """
    if job_id is None:
        return _list(client, settings)
    job = read_job(client, settings.keys, job_id)
    if job is None:
        raise NothingThere(f"there is no job {job_id!r} in Redis, where jobs are kept for a week")
    seen = see(client, settings.keys, job.id, [part.name for part in job.partitions])
    rows = [_row(name, one) for name, one in seen.items()]
    table = FittingTable(
        Column("partition"),
        Column("state"),
        Column("worker", spare=1),
        Column("reports", right=True),
        Column("took", right=True, spare=2),
        Column("reason", wraps=20),
        title=escape(f"job {job.id}: {job.output}"),
    )
    for row in rows:
        table.add_row(
            escape(row["partition"]),
            coloured(row["state"], _COLOURS[row["state"]]),
            escape(row["worker"] or ""),
            "" if row["reports"] is None else f"{row['reports']:,}",
            "" if row["ms"] is None else duration(row["ms"]),
            escape(row["reason"] or ""),
        )
    return View({"job": job.id, "output": job.output, "partitions": rows}, table)


def _row(name: str, seen: Seen) -> dict[str, Any]:
    result, holder = seen.result, seen.lease.holder
    row: dict[str, Any] = {"partition": name, "state": "waiting", "worker": None, "reports": None, "ms": None}
    row["reason"] = None
    if isinstance(result, Done):
        worker = result.worker.rpartition("/")[0]
        return row | {"state": "done", "worker": worker or None, "reports": result.reports, "ms": result.ms}
    if isinstance(result, Failed):
        state = "set aside" if result.attempts >= ATTEMPTS else "failed"
        row |= {"state": state, "worker": result.worker.rpartition("/")[0], "reason": result.reason}
    return row | {"state": "running", "worker": holder} if holder else row


def _list(client: Any, settings: Settings) -> View:
    workers, jobs = live_batch_workers(client, settings), read_jobs(client, settings.keys)
    done = {job.id: _count_done(client, settings, job) for job in jobs}
    data = {
        "workers": [
            {"worker": one.owner.node, "host": one.host, "pid": one.pid, "working": one.working or None}
            for one in workers
        ],
        "jobs": [
            {"job": job.id, "by": job.by, "partitions": len(job.partitions), "done": done[job.id], "output": job.output}
            for job in jobs
        ],
    }
    at_work = FittingTable(Column("worker"), Column("host", spare=1), Column("works on"), title="batch workers")
    for one in workers:
        at_work.add_row(escape(one.owner.node), escape(one.host), escape(one.working or "nothing"))
    table = FittingTable(
        Column("job"), Column("by", spare=2), Column("done", right=True), Column("output", spare=1), title="jobs"
    )
    for job in jobs:
        table.add_row(escape(job.id), escape(job.by), f"{done[job.id]} of {len(job.partitions)}", escape(job.output))
    return View(data, Group(at_work, table))


def _count_done(client: Any, settings: Settings, job: Job) -> int:
    seen = see(client, settings.keys, job.id, [part.name for part in job.partitions])
    return sum(isinstance(one.result, Done) for one in seen.values())
