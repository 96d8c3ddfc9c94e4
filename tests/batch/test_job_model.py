"""Any order of deaths, pauses, lost messages, lost data and new commands: each partition is done once, or set aside."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pyarrow import parquet as pq

from tests.batch.recorded import BEGIN, reports_of
from tickfence.batch.job import Done, Failed, Job
from tickfence.batch.job_run import JobRun
from tickfence.batch.output import Output
from tickfence.batch.partition import cut
from tickfence.batch.store import PartitionLease, read_job
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.recordings.layout import HOUR_MS
from tickfence.redis_access.scripts import send
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis

SYMBOLS = [Instrument("BTCUSDT"), Instrument("ETHUSDT")]
PARTITIONS = tuple(cut(SYMBOLS, BEGIN, BEGIN + 2 * HOUR_MS))
NAMES = ("node-001.batch", "node-002.batch", "node-003.batch")


class Worker:
    """A batch worker that is told when to take its next step, as the real one takes them in a row."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.owner = world, Owner.start(name)
        self.steps: Iterator[None] | None = None
        self.frozen = False
        self.register()

    def register(self, working: str = "") -> None:
        client, group = self.world.client, self.world.settings.keys.batch_worker_group
        seconds, _ = client.time()
        incarnation = self.owner.incarnation
        record = {"incarnation": incarnation, "client_id": 0, "weight": 1, "status_of": incarnation, "working": working}
        client.hset(group.record(self.owner.node), mapping=record)
        client.zadd(group.live, {self.owner.node: seconds * 1000})

    def step(self, breaks: bool) -> None:
        queue = self.world.queues[self.owner.node]
        if self.steps is None and queue:
            self.steps = self.work(*queue.popleft(), breaks)
        if self.steps is not None and next(self.steps, self) is self:
            self.steps = None
        self.register("something" if self.steps else "")

    def work(self, name: str, generation: int, breaks: bool) -> Iterator[None]:
        world, client = self.world, self.world.client
        job = read_job(client, world.settings.keys, world.job.id)
        if job is None:
            return
        part = job.partition(name)
        assert part is not None
        lease = PartitionLease(world.settings.keys, job.id, name, self.owner)
        granted, before = lease.take(client, generation)
        if not granted:
            return
        if isinstance(before, Done):
            lease.release(client)
            return
        yield
        if breaks:
            attempts = before.attempts + 1 if before else 1
            [reply] = send(client, [lease.record(Failed(generation, attempts, "it broke", 0, str(self.owner)))])
            if lease.recorded(reply):
                lease.release(client)
            return
        output = Output(job.output, job.id)
        with output.writing(part, lease.token, str(self.owner)) as file:
            for one in reports_of(part.symbol, part.from_ms, part.to_ms, job.every_ms):
                file.add(one.at_ms, one.report)
            yield
            if not lease.renew(client):
                output.discard(file.done.file)
                return
        yield
        if name in output.published():
            output.discard(file.done.file)
            lease.release(client)
            return
        [reply] = send(client, [lease.record(file.done)])
        if not lease.recorded(reply):
            output.discard(file.done.file)
            return
        yield
        output.publish(file.done.file)
        lease.release(client)


class World(RuleBasedStateMachine):
    """Commands and workers of one job."""

    server: EmbeddedRedis
    workers = Bundle("workers")

    @initialize()
    def begin(self) -> None:
        self.client: redis.Redis = self.server.client()
        self.client.flushall()
        self.folder = tempfile.TemporaryDirectory()
        self.settings = Settings.from_environment({"REDIS_URL": self.server.url()})
        self.job = Job("j-1", 1, "/nowhere", f"{self.folder.name}/out", 20 * 60_000, PARTITIONS)
        self.now_s = 1000.0
        self.queues: dict[str, deque[tuple[str, int]]] = {name: deque() for name in NAMES}
        self.living: dict[str, Worker] = {}
        self.frozen: list[Worker] = []
        self.published: dict[str, str] = {}
        self.flushes = 0
        self.command = self.new_command()
        self.start(NAMES[0])
        self.start(NAMES[1])

    def new_command(self) -> JobRun:
        def put(worker: str, name: str, generation: int) -> None:
            self.queues[worker].append((name, generation))

        command = JobRun(self.client, self.settings, self.job, Owner.start("ann"), put, lambda: self.now_s)
        command.wait_for_turn(0)
        return command

    @rule(name=st.sampled_from(NAMES))
    def start(self, name: str) -> None:
        self.living[name] = Worker(self, name)

    @rule(name=st.sampled_from(NAMES), breaks=st.integers(0, 9))
    def work(self, name: str, breaks: int) -> None:
        if name in self.living:
            self.living[name].step(breaks == 0)

    @rule(name=st.sampled_from(NAMES), dies=st.booleans())
    def stop(self, name: str, dies: bool) -> None:
        if name in self.living:
            worker = self.living.pop(name)
            self.client.zrem(self.settings.keys.batch_worker_group.live, name)
            if not dies:
                self.frozen.append(worker)

    @rule(steps=st.integers(1, 4))
    def wake(self, steps: int) -> None:
        """A frozen worker goes on for a while, unregistered; it has the rest of its steps to take."""
        if self.frozen:
            worker = self.frozen.pop(0)
            for _ in range(steps):
                if worker.steps is not None and next(worker.steps, self) is self:
                    worker.steps = None

    @rule(name=st.sampled_from(NAMES))
    def lose_message(self, name: str) -> None:
        if self.queues[name]:
            self.queues[name].popleft()

    @rule(passes=st.sampled_from([0.25, 1.0, 6.0, 30.0]))
    def look(self, passes: float) -> None:
        self.now_s += passes
        self.command.step()

    @rule(rounds=st.integers(1, 12))
    def go_on(self, rounds: int) -> None:
        for _ in range(rounds):
            self.look(0.25)
            for worker in self.living.values():
                worker.step(breaks=False)

    @rule()
    def resume(self) -> None:
        self.command = self.new_command()

    @rule()
    def lose_data(self) -> None:
        if self.flushes < 2:
            self.flushes += 1
            self.client.flushall()
            for worker in self.living.values():
                worker.register("something" if worker.steps else "")

    @invariant()
    def each_partition_has_one_file_that_stays(self) -> None:
        found = [path.name for path in Path(self.job.output).glob("*.parquet")]
        of = {name: name.rsplit(".", 3)[0] for name in found}
        assert len(set(of.values())) == len(found), found
        assert self.published.items() <= {partition: name for name, partition in of.items()}.items()
        self.published = {partition: name for name, partition in of.items()}

    def teardown(self) -> None:
        if not hasattr(self, "command"):
            return
        self.resume()
        for name in NAMES:
            self.start(name)
        for _ in range(400):
            if self.command.over:
                break
            self.look(0.5)
            for name in NAMES:
                self.living[name].step(breaks=False)
        assert self.command.over
        assert self.command.scheduler.set_aside == {}, "after --resume everything is tried again, and nothing breaks"
        self.command.end()
        while self.frozen:
            self.wake(9)
        self.each_partition_has_one_file_that_stays()
        assert sorted(path.suffix for path in Path(self.job.output).iterdir()) == [".json"] + [".parquet"] * 4
        for part in PARTITIONS:
            [file] = Path(self.job.output).glob(f"{part.symbol}.{part.hour}.*.parquet")
            assert pq.read_metadata(file).num_rows == 3
        self.client.close()
        self.folder.cleanup()


@pytest.mark.usefixtures("redis_client")
def test_each_partition_is_done_once_whatever_happens(redis_server: EmbeddedRedis) -> None:
    World.server = redis_server
    run_state_machine_as_test(
        World,
        settings=settings(
            max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
