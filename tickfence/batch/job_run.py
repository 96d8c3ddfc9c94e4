"""A job as its command runs it: a look at Redis, the batch workers and the files, four times a second.

All that must survive the command is in Redis, and beside the reports where Redis loses it. So a step may fail at any
line, and the next one, perhaps of another command, goes on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tickfence.batch.job import Done, Failed, Job, encode
from tickfence.batch.output import Output, OutputFailed
from tickfence.batch.scheduling import ATTEMPTS, FIRST_PAUSE_S, Scheduler, Seen, Verdict
from tickfence.batch.store import JobStore
from tickfence.batch.workers import PATIENCE, live_batch_workers
from tickfence.coordination.lease import Acquired
from tickfence.coordination.membership import NodeRecord
from tickfence.coordination.owner import Owner
from tickfence.settings import Settings

Send = Callable[[str, str, int], None]
"""Sends a worker the name of a partition and a generation."""


class Replaced(RuntimeError):
    """Another command dispatches this job now."""


class JobRun:
    """One command's run of a job.

    Args:
        client: of the data plane.
        settings: of the process.
        job: the job.
        owner: this command.
        send: puts a message into a worker's queue. What it cannot send is sent again later.
        clock: monotonic seconds.

    Attributes:
        scheduler: what is known of each partition.
        workers: the batch workers that lived at the last step.
    """

    def __init__(
        self,
        client: Any,
        settings: Settings,
        job: Job,
        owner: Owner,
        send: Send,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        silent_s = 2 * PATIENCE * settings.nt_heartbeat_interval_ms / 1000
        self.scheduler = Scheduler([part.name for part in job.partitions], silent_s=silent_s)
        self.workers: list[NodeRecord] = []
        self._client, self._settings, self._job = client, settings, job
        self._send, self._clock = send, clock
        self._store = JobStore(client, settings.keys, job, owner)
        self._output = Output(job.output, job.id)
        self._begun = False
        self._published: set[str] = set()
        self._gone: Counter[str] = Counter()
        self._unnamed: Counter[str] = Counter()
        self._name_at: dict[str, float] = {}

    @property
    def over(self) -> bool:
        """Whether every partition is set aside, or done and its file has its name."""
        return self.scheduler.over and self.scheduler.done.keys() <= self._published

    def wait_for_turn(self, patience_s: float) -> None:
        """Take the right to dispatch the job; from a command that does not renew it for so long as well.

        Raises:
            Replaced: another command renews it.
            redis.exceptions.RedisError: Redis cannot be reached.
        """
        deadline = time.monotonic() + patience_s
        before = self._store.holder()
        self._store.follow(before)
        while self._store.hold() in (Acquired.CONFLICT, Acquired.STALE):
            holder = self._store.holder()
            if holder.until_ms != before.until_ms:
                raise Replaced(f"another command, {holder.holder}, works on job {self._job.id}")
            if time.monotonic() >= deadline:
                self._store.follow(holder, seize=True)
            else:
                time.sleep(0.1)

    def step(self) -> None:
        """Look once, judge, and send.

        Raises:
            Replaced: another command has taken the job over.
            redis.exceptions.RedisError, redis.exceptions.RedisClusterException: Redis cannot be reached.
            OutputFailed: the folder of the reports cannot be reached.
        """
        held = self._store.hold()
        if held not in (Acquired.TAKEN, Acquired.HELD):
            raise Replaced(f"another command works on job {self._job.id} now")
        self._begun = self._begun and held is Acquired.HELD
        if not self._begun:
            self._begin()
            self._begun = True
        seen = self._store.see(self.scheduler.outstanding)
        self.workers = live_batch_workers(self._client, self._settings)
        now_s, server_ms = self._clock(), self._server_ms()
        for verdict in self.scheduler.look(seen, self.workers, now_s):
            self._fence_out(verdict, server_ms, now_s)
        self._publish(server_ms, now_s)
        sent = dict(self.scheduler.assign(self.workers, now_s, server_ms))
        if sent:
            self._store.note_sent(sent)
            for name, one in sent.items():
                self._send(one.owner.node, name, one.generation)

    def end(self) -> None:
        """Delete the files that no record names, if all is over, and let other commands go on.

        Raises:
            redis.exceptions.RedisError, redis.exceptions.RedisClusterException: Redis cannot be reached.
            OutputFailed: the folder of the reports cannot be reached.
        """
        try:
            if self.over:
                self._output.sweep({done.file for done in self.scheduler.done.values()})
        finally:
            self._store.let_go()

    def _begin(self) -> None:
        """Write what the job is, and take over what Redis and the files have of it."""
        self._store.store()
        self._output.save_job(encode(self._job))
        published, sent = self._output.published(), self._store.sent()
        names = list(self.scheduler.units)
        now_s, server_ms = self._clock(), self._server_ms()
        for name, seen in self._store.see(names).items():
            unit = self.scheduler.units[name]
            result = seen.result
            if not isinstance(result, Done) and name in published:
                # Redis has lost the record of a file that is complete.
                generation = max(server_ms, seen.lease.generation + 1)
                result = self._store.put(name, generation, self._output.done(published[name]))
            if isinstance(result, Done) and published.get(name) == result.file:
                self._published.add(name)
            self.scheduler.begin(name, Seen(result, seen.lease), sent.get(name) or unit.sent, now_s)
        unknown = {name: self.scheduler.units[name].sent for name in self.scheduler.outstanding if name not in sent}
        if known := {name: one for name, one in unknown.items() if one}:
            self._store.note_sent(known)

    def _fence_out(self, verdict: Verdict, server_ms: int, now_s: float) -> None:
        generation = max(verdict.generation + 1, server_ms)
        failed = Failed(generation, verdict.attempts, verdict.reason, server_ms, verdict.worker)
        self.scheduler.take(verdict.name, self._store.put(verdict.name, generation, failed), now_s)

    def _publish(self, server_ms: int, now_s: float) -> None:
        """Finish the renaming of what has been recorded, should its worker not have done so."""
        for name, done in self.scheduler.done.items():
            if name in self._published or now_s < self._name_at.get(name, now_s):
                continue
            failures = self._gone
            reason = f"{done.file} is not in {self._job.output}: workers and this command must reach the same folder"
            try:
                if self._output.publish(done.file):
                    self._published.add(name)
                    continue
            except OutputFailed as error:
                # Its reports are made, so it is not made again before this has failed as often as a partition may.
                failures, reason = self._unnamed, f"{done.file} cannot be renamed: {error}"
            failures[name] += 1
            if failures is self._unnamed and failures[name] < ATTEMPTS:
                self._name_at[name] = now_s + FIRST_PAUSE_S * 2.0 ** (failures[name] - 1)
                continue
            unit = self.scheduler.units[name]
            generation, attempts = max(unit.generation + 1, server_ms), unit.forgiven + failures[name]
            failed = Failed(generation, attempts, reason, server_ms, done.worker)
            self.scheduler.take(name, self._store.put(name, generation, failed, replaces=done), now_s)

    def _server_ms(self) -> int:
        seconds, microseconds = self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000
