"""One partition on a batch worker: under its lease from the first report to the record of its file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from tasks.batch_worker import BatchWorker
from tasks.rebuilt import Rebuilt
from tasks.recorded_entries import Recorded
from tickfence.batch.job import Done, Failed, Job
from tickfence.batch.output import Output, OutputFailed, ReportsFile
from tickfence.batch.partition import Partition
from tickfence.batch.scheduling import NO_PROGRESS_S
from tickfence.batch.store import PartitionLease, read_job
from tickfence.instrument import Instrument
from tickfence.monitoring import batch_metrics as metrics
from tickfence.monitoring.batch_metrics import Ended
from tickfence.recordings.kinds import Kind
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


Rebuild = Callable[[Recorded, Instrument, int, int, int | None], Iterator[Rebuilt]]


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
    """The partition is not this worker's any more.

    Args:
        ended: how it ended here.
        lease: whether its lease is still held, and is to be given back.
    """

    def __init__(self, ended: Ended, *, lease: bool = False) -> None:
        super().__init__(ended)
        self.ended, self.lease = ended, lease


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


class _Watched:
    """A recording that looks before each read whether the work is to go on: the first report may take a while."""

    def __init__(self, recording: Recorded, go_on: Callable[[], None]) -> None:
        self._recording, self._go_on = recording, go_on

    def table(
        self,
        kind: Kind,
        symbols: Sequence[Instrument] | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
    ) -> pa.Table:
        """See :class:`tasks.recorded_entries.Recorded`."""
        self._go_on()
        return self._recording.table(kind, symbols, from_ms, to_ms)

    def span(self, kind: Kind, symbol: Instrument) -> tuple[int, int] | None:
        """See :class:`tasks.recorded_entries.Recorded`."""
        self._go_on()
        return self._recording.span(kind, symbol)


class _Run:
    def __init__(self, worker: BatchWorker, message: Message) -> None:
        self._worker, self._message = worker, message
        self._lease = PartitionLease(worker.settings.keys, message.job, message.partition, worker.owner)
        self._outage = Outage("the data plane", logger)
        self._renew_at = 0.0

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
            self._release()
            return Ended.DROPPED
        self._worker.work.begin(Instrument(partition.name))
        try:
            output = Output(job.output, job.id)
            with output.writing(partition, self._lease.token, str(self._worker.owner)) as file:
                self._make(job, partition, rebuild, file)
            if partition.name in output.published():  # while Redis was losing its data, another has done it
                output.discard(file.done.file)
                raise NoLongerOurs(Ended.FENCED, lease=True)
        except NoLongerOurs as error:
            if error.lease:
                self._release()
            return error.ended
        except Exception as error:
            # Whatever it is, it comes from this partition's data or from where its reports go. It must not end the
            # worker, or come back for ever.
            logger.exception("a partition failed", extra=message._asdict())
            return self._failed(error, before.attempts if before else 0)
        finally:
            self._worker.work.begin(Instrument(""))
        return self._done(output, file.done)

    def _make(self, job: Job, partition: Partition, rebuild: Rebuild, file: ReportsFile) -> None:
        self._renew_at = time.monotonic() + RENEW_EVERY_S
        recording = _Watched(Recording(job.source, threads=1), self._go_on)
        reports = rebuild(recording, partition.symbol, partition.from_ms, partition.to_ms, job.every_ms)
        for rebuilt in reports:
            file.add(rebuilt.at_ms, rebuilt.report, warm=rebuilt.warm)
            metrics.reports.inc()
            self._go_on()

    def _go_on(self) -> None:
        """Look, wherever the work can be left, whether it is to go on.

        Raises:
            NoLongerOurs: it is not.
        """
        if self._worker.stopping:
            raise NoLongerOurs(Ended.GIVEN_BACK, lease=True)
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
        try:
            output.publish(done.file)
        except OutputFailed as error:
            logger.warning("the command is to rename %s: %s", done.file, error)
        self._release()
        return Ended.DONE

    def _failed(self, error: Exception, attempts: int) -> Ended:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
        now_ms, owner = self._worker.clock.now_ms(), str(self._worker.owner)
        command = self._lease.record(Failed(self._message.generation, attempts + 1, reason, now_ms, owner))
        [reply] = self._ask(lambda client: send(client, [command]))
        if not self._lease.recorded(reply):
            return Ended.FENCED
        self._release()
        return Ended.FAILED

    def _release(self) -> None:
        """Give the lease back. Where Redis does not answer, which is logged, it ends by itself."""
        with suppress(*REDIS_ERRORS):
            self._ask(self._lease.release)

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
