"""One partition on a batch worker: under its lease from the first report to the record of its file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from tasks.batch_worker import BatchWorker
from tasks.rebuilt import Rebuilt
from tickfence.batch.job import Done, Failed, Job
from tickfence.batch.output import Output, ReportsFile
from tickfence.batch.partition import Partition
from tickfence.batch.scheduling import NO_PROGRESS_S
from tickfence.batch.store import PartitionLease, read_job
from tickfence.instrument import Instrument
from tickfence.monitoring import batch_metrics as metrics
from tickfence.monitoring.batch_metrics import Ended
from tickfence.recordings.recording import Recording
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.outage import Outage
from tickfence.redis_access.scripts import send

logger = logging.getLogger(__name__)

RENEW_EVERY_S = 2.0
WITHOUT_REDIS_S = 120.0
"""For so long the end of a partition waits for Redis; after that the partition is made again."""
MAX_REASON = 500

_Answer = TypeVar("_Answer")


Rebuild = Callable[[Recording, Instrument, int, int, int | None], Iterator[Rebuilt]]


class Message(NamedTuple):
    """What a batch worker is sent.

    Attributes:
        job: id of the job.
        partition: name of the partition.
        generation: of the dispatch.
    """

    job: str
    partition: str
    generation: int


class NoLongerOurs(Exception):
    """The partition is not this worker's any more. The text says why."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended)
        self.ended = ended


def run_partition(worker: BatchWorker, message: Message, rebuild: Rebuild) -> Ended:
    """Make the reports of one partition, and record how that ended.

    Args:
        worker: this process.
        message: which partition.
        rebuild: makes the reports.
    """
    worker.hang_guard.alive(NO_PROGRESS_S)
    ended = _Run(worker, message).run(rebuild)
    metrics.partitions.labels(ended).inc()
    logger.info("partition %s", ended, extra=message._asdict())
    return ended


class _Run:
    def __init__(self, worker: BatchWorker, message: Message) -> None:
        self._worker, self._message = worker, message
        self._lease = PartitionLease(worker.settings.keys, message.job, message.partition, worker.owner)
        self._outage = Outage("the data plane", logger)
        self._renew_at = 0.0
        self._not_warm = 0

    def run(self, rebuild: Rebuild) -> Ended:
        keys, message = self._worker.settings.keys, self._message
        job = self._ask(lambda client: read_job(client, keys, message.job))
        partition = None if job is None else job.partition(message.partition)
        if job is None or partition is None:
            return Ended.DROPPED
        granted, before = self._ask(lambda client: self._lease.take(client, message.generation))
        if not granted:
            return Ended.DROPPED
        if isinstance(before, Done):
            self._ask(self._lease.release)
            return Ended.DROPPED
        self._worker.work.begin(Instrument(partition.name))
        started = time.monotonic()
        try:
            output = Output(job.output)
            with output.writing(partition, self._lease.token) as file:
                self._make(job, partition, rebuild, file)
        except NoLongerOurs as error:
            if error.ended is Ended.GIVEN_BACK:
                self._ask(self._lease.release)
            return error.ended
        except Exception as error:
            # Whatever it is, it comes from this partition's data, and must not end the worker, or come back for ever.
            logger.exception("a partition failed", extra=message._asdict())
            return self._failed(error, before.attempts if before else 0)
        finally:
            self._worker.work.begin(Instrument(""))
        ms = round((time.monotonic() - started) * 1000)
        if partition.name in output.published():  # while Redis was losing its data, another has done it
            output.discard(file.name)
            self._ask(self._lease.release)
            return Ended.FENCED
        return self._done(output, Done(file.name, file.reports, self._not_warm, str(self._worker.owner), ms))

    def _make(self, job: Job, partition: Partition, rebuild: Rebuild, file: ReportsFile) -> None:
        reports = rebuild(Recording(job.source), partition.symbol, partition.from_ms, partition.to_ms, job.every_ms)
        self._renew_at = time.monotonic() + RENEW_EVERY_S
        for rebuilt in reports:
            file.add(rebuilt.at_ms, rebuilt.report)
            self._not_warm += not rebuilt.warm
            metrics.reports.inc()
            if self._worker.stopping:
                raise NoLongerOurs(Ended.GIVEN_BACK)
            if time.monotonic() >= self._renew_at:
                self._renew()

    def _renew(self) -> None:
        self._worker.hang_guard.alive(NO_PROGRESS_S)
        self._worker.work.progress += 1
        try:
            held = self._lease.renew(self._worker.client)
        except REDIS_ERRORS as error:  # the lease lasts long enough to go on without
            self._unreachable(error)
        else:
            self._outage.over()
            if not held:
                raise NoLongerOurs(Ended.FENCED)
        self._renew_at = time.monotonic() + RENEW_EVERY_S

    def _done(self, output: Output, done: Done) -> Ended:
        command = self._lease.record(done)
        [reply] = self._ask(lambda client: send(client, [command]))
        if not self._lease.recorded(reply):
            output.discard(done.file)
            return Ended.FENCED
        output.publish(done.file)
        self._ask(self._lease.release)
        return Ended.DONE

    def _failed(self, error: Exception, attempts: int) -> Ended:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
        now_ms, owner = self._worker.clock.now_ms(), str(self._worker.owner)
        command = self._lease.record(Failed(self._message.generation, attempts + 1, reason, now_ms, owner))
        [reply] = self._ask(lambda client: send(client, [command]))
        if not self._lease.recorded(reply):
            return Ended.FENCED
        self._ask(self._lease.release)
        return Ended.FAILED

    def _ask(self, question: Callable[[Any], _Answer]) -> _Answer:
        """Return the answer of Redis; wait for it as long as it is worth waiting.

        Raises:
            redis.exceptions.RedisError, redis.exceptions.RedisClusterException: it has not answered in that time.
        """
        deadline = time.monotonic() + WITHOUT_REDIS_S
        while True:
            try:
                answer = question(self._worker.client)
            except REDIS_ERRORS as error:
                pause = self._unreachable(error)
                if self._worker.stopping or time.monotonic() >= deadline:
                    raise
                time.sleep(pause)
            else:
                self._outage.over()
                return answer

    def _unreachable(self, error: Exception) -> float:
        metrics.redis_errors.inc()
        try:
            self._worker.forget_connections()
        except REDIS_ERRORS as again:
            error = again
        return self._outage.failed(error)
