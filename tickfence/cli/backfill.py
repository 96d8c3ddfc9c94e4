"""``celery backfill``: send the partitions of a job to batch workers until each has ended."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import signal
import socket
import time
from typing import Any

import click
from celery import Celery
from kombu.exceptions import KombuError

from tickfence.batch.job import JOB_ID, Job, decode_job, encode, new_id
from tickfence.batch.job_run import JobRun, Replaced
from tickfence.batch.output import Output, OutputFailed
from tickfence.batch.store import COMMAND_LEASE_MS, read_job
from tickfence.cli import session
from tickfence.cli.backfill_progress import Progress, Summary
from tickfence.cli.backfill_request import absolute, new_job, parse_symbols, recorded
from tickfence.cli.session import NotAccepted, NothingThere, one_line, reach
from tickfence.coordination.owner import Owner
from tickfence.readers.cluster import server_ms
from tickfence.recordings.recording import Recording
from tickfence.recordings.store import BadRecordings
from tickfence.redis_access.connect import forget_connections
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.outage import Backoff
from tickfence.settings import Settings

TASK = "tasks.backfill_partition"
EVERY_S = 0.25
UNREACHABLE_S = 120.0
"""For so long the command waits for Redis, or for the folder of the reports."""
WITHOUT_WORKERS_S = 60.0


class Unfinished(click.ClickException):
    """The job is not over. Another command may go on with it."""

    exit_code = 1

    def __init__(self, job: Job, why: str) -> None:
        super().__init__(f"{why}. Go on with: celery -A tasks backfill --resume {job.id}")


def run(app: Celery, *, resume: str | None, as_json: bool, **asked: Any) -> None:
    """Run ``celery backfill``.

    Raises:
        click.ClickException: the job cannot begin, or it did not end.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it is interrupted in order, as by Ctrl-C
    with session.connected("backfill") as (client, settings):
        try:
            job = _stored(client, settings, resume, **asked) if resume else _asked(client, settings, **asked)
            with Progress(job, quiet=as_json) as progress:
                summary = _finish(app, client, settings, job, progress)
        except BadRecordings as error:
            raise NotAccepted(str(error)) from None
        except OutputFailed as error:
            raise click.ClickException(str(error)) from None
    if as_json:
        session.say(json.dumps(summary.data()))
    else:
        session.console().print(summary.text())
    if summary.set_aside:
        raise SystemExit(1)


def _asked(client: Any, settings: Settings, *, symbols: str | None, **asked: Any) -> Job:
    """The job that the options ask for."""
    source, named = absolute(settings.nt_recordings), parse_symbols(symbols)
    spans = recorded(Recording(source), named)
    now_ms = reach(settings, lambda: server_ms(client))
    by = f"{getpass.getuser()}@{socket.gethostname()}"
    job_id = new_id(now_ms, secrets.token_hex(2))
    job = new_job(job_id, now_ms, by, source=source, spans=spans, symbols=named, **asked)
    if others := Output(job.output, job.id).claim(encode(job)):
        raise NotAccepted(f"--output {job.output} holds the reports of job {others[0]}; name another folder")
    return job


def _stored(client: Any, settings: Settings, job_id: str, *, output: str | None, **asked: Any) -> Job:
    """The job to go on with: as Redis has it, or, where Redis has lost it, the file beside its reports."""
    if given := [name.rstrip("_") for name, value in asked.items() if value is not None]:
        raise NotAccepted(f"--resume goes on with what the job was asked for; leave out --{given[0]}")
    if not JOB_ID.fullmatch(job_id):
        raise NotAccepted(f"--resume {job_id!r} must match {JOB_ID.pattern}, like 20261126-101500-3f9a")
    place = absolute(output) if output else f"{absolute(settings.nt_recordings)}/reports/job={job_id}"
    job = reach(settings, lambda: read_job(client, settings.keys, job_id))
    if job is None:
        data = Output(place, job_id).load_job()
        if data is None:
            hint = "" if output else "; name the folder of its reports with --output"
            raise NothingThere(f"there is no job {job_id}: neither in Redis nor in {place}{hint}")
        job = decode_job(data)
    if output and place != job.output:
        raise NotAccepted(f"--output {place}: the reports of job {job_id} go to {job.output}; leave out --output")
    return job


def _finish(app: Celery, client: Any, settings: Settings, job: Job, progress: Progress) -> Summary:
    """Run the job until each partition is done or set aside."""
    owner = Owner.start(f"{socket.gethostname()}-{os.getpid()}")
    unsent: list[KombuError | OSError] = []

    def send(queue: str, name: str, generation: int) -> None:
        # A queue of its own class, see tasks/queues.py; the message may wait there for as long as a partition takes.
        try:
            app.send_task(TASK, (job.id, name, generation), queue=queue, delivery_mode=2, ignore_result=True)
        except (KombuError, OSError) as error:
            unsent.append(error)

    job_run = JobRun(client, settings, job, owner, send)
    backoff = Backoff(base=EVERY_S, cap=2.0)
    failing_since = workless_since = None
    try:
        reach(settings, lambda: job_run.wait_for_turn(2 * COMMAND_LEASE_MS / 1000))
        while not job_run.over:
            try:
                job_run.step()
            except (*REDIS_ERRORS, OutputFailed) as error:
                what = "the folder of the reports" if isinstance(error, OutputFailed) else "Redis"
                now = time.monotonic()
                failing_since = failing_since or now
                if now - failing_since > UNREACHABLE_S:
                    raise Unfinished(job, f"{what} has not answered for {UNREACHABLE_S:.0f} s") from None
                progress.note(f"{what} does not answer, retrying: {one_line(error)}")
                forget_connections(client)
                time.sleep(backoff.next_s())
                continue
            failing_since = None
            backoff.reset()
            progress.look(job_run.scheduler, job_run.workers)
            workless_since = None if job_run.workers else workless_since or time.monotonic()
            if workless_since:
                progress.note("no batch worker is alive; start one: celery -A tasks worker -Q node-001.batch")
                if time.monotonic() - workless_since > WITHOUT_WORKERS_S:
                    raise Unfinished(job, f"there was no batch worker for {WITHOUT_WORKERS_S:.0f} s")
            if unsent:
                progress.note(f"the broker takes no messages, retrying: {one_line(unsent.pop())}")
                unsent.clear()
            if not job_run.over:
                time.sleep(EVERY_S)
        summary = Summary.of(job, job_run.scheduler, progress.seconds)
    except Replaced as error:
        raise NotAccepted(str(error)) from None
    except KeyboardInterrupt:
        reach(settings, job_run.end)
        raise Unfinished(job, "stopped") from None
    try:
        reach(settings, job_run.end)
    except OutputFailed as error:
        progress.note(f"what is no result may still be in the folder of the reports: {one_line(error)}")
    return summary
