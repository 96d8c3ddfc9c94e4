"""One partition on one batch worker, and what happens to it meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pyarrow import parquet as pq

from tasks import partition_run
from tasks.batch_worker import BatchWorker, choose_batch_worker
from tasks.lifecycle import choose_node_id, this_batch_worker
from tasks.partition_run import Message, run_partition
from tasks.rebuilt import Rebuilt
from tests.batch.recorded import BEGIN, reports_of
from tickfence.batch.job import Done, Failed, Job
from tickfence.batch.job_run import JobRun
from tickfence.batch.partition import cut
from tickfence.batch.scheduling import ATTEMPTS
from tickfence.batch.store import JobStore
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.monitoring.batch_metrics import Ended
from tickfence.recordings.layout import HOUR_MS
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis

[PART] = cut([Instrument("BTCUSDT")], BEGIN, BEGIN + HOUR_MS)


class Bench:
    """A job of one partition, its store, and workers."""

    def __init__(self, client: redis.Redis, url: str, folder: Path) -> None:
        self.client, self.out = client, folder / "out"
        self.settings = Settings.from_environment({"REDIS_URL": url, "NT_HANG_EXIT_S": "0"})
        self.job = Job("j-1", 1, str(folder), str(self.out), None, (PART,))
        self.store = JobStore(client, self.settings.keys, self.job, Owner("ann", "1"))
        self.store.store()

    def worker(self, name: str = "node-001.batch") -> BatchWorker:
        return BatchWorker(self.settings, name)

    def registered(self, name: str) -> BatchWorker:
        """A worker that lives, by what Redis shows."""
        worker, group = self.worker(name), self.settings.keys.batch_worker_group
        self.client.hset(
            group.record(name), mapping={"incarnation": worker.owner.incarnation, "client_id": 0, "weight": 1}
        )
        self.client.zadd(group.live, {name: self.client.time()[0] * 1000})
        return worker

    def run(
        self,
        generation: int = 1,
        meanwhile: Callable[[], object] = lambda: None,
        worker: BatchWorker | None = None,
        job: str = "j-1",
    ) -> Ended:
        """Make the partition; ``meanwhile`` happens before its last report."""

        def rebuild(_: Any, symbol: str, from_ms: int, to_ms: int, every_ms: int | None) -> Iterator[Rebuilt]:
            *before, last = reports_of(symbol, from_ms, to_ms, every_ms)
            yield from before
            meanwhile()
            yield last

        return run_partition(worker or self.worker(), Message(job, PART.name, generation), rebuild)

    @property
    def result(self) -> Done | Failed | None:
        return self.store.see([PART.name])[PART.name].result

    def files(self) -> list[str]:
        return sorted(path.name for path in self.out.iterdir()) if self.out.exists() else []

    def fence_out(self) -> None:
        """What a command does with a partition whose worker it takes for dead."""
        self.store.put(PART.name, 2, Failed(2, 1, "its worker died", 0))


@pytest.fixture
def bench(redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path) -> Bench:
    return Bench(redis_client, redis_server.url(), tmp_path)


def test_what_a_killed_worker_leaves_in_redis_goes_by_itself(bench: Bench) -> None:
    left: list[int] = []
    bench.run(meanwhile=lambda: left.extend(bench.client.pttl(key) for key in bench.client.keys("nt:batch:{j-1}*")))
    assert len(left) == 2 and min(left) > 0


def test_a_finished_partition_is_one_file_that_its_record_names(bench: Bench) -> None:
    assert bench.run() is Ended.DONE
    assert isinstance(bench.result, Done) and bench.result.reports == 60
    assert bench.files() == [bench.result.file]
    table = pq.read_table(bench.out / bench.result.file)
    assert table.schema.names == ["symbol", "time_ms", "report"]
    assert table["report"][59].as_py() == f'{{"symbol":"BTCUSDT","updatedAt":{BEGIN + 59 * 60_000},"mid_price":42.0}}'
    assert bench.run(generation=9) is Ended.DROPPED, "it is done"
    assert bench.run(job="j-2") is Ended.DROPPED, "there is no such job"
    assert bench.files() == [bench.result.file]


def test_a_worker_that_was_taken_for_dead_cannot_replace_the_finished_file(bench: Bench) -> None:
    def another_does_it() -> None:
        bench.fence_out()
        assert bench.run(generation=3, worker=bench.worker("node-002.batch")) is Ended.DONE

    assert bench.run(meanwhile=another_does_it) is Ended.FENCED
    assert isinstance(bench.result, Done) and bench.result.worker.startswith("node-002.batch/")
    assert bench.files() == [bench.result.file]
    assert bench.run(generation=2) is Ended.DROPPED, "a message that comes late"


def test_a_worker_that_was_fenced_out_publishes_nothing(bench: Bench) -> None:
    assert bench.run(meanwhile=bench.fence_out) is Ended.FENCED
    assert (isinstance(bench.result, Failed), bench.files()) == (True, [])


def test_a_worker_that_finished_before_it_was_fenced_out_has_finished(bench: Bench) -> None:
    assert bench.run() is Ended.DONE
    bench.fence_out()
    assert isinstance(bench.result, Done)


def test_when_redis_loses_its_data_a_worker_does_not_publish_a_second_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_does_it() -> None:
        bench.fence_out()
        assert bench.run(generation=3, worker=bench.worker("node-002.batch")) is Ended.DONE
        files.extend(name for name in bench.files() if name.endswith(".parquet"))
        bench.client.flushall()

    files: list[str] = []
    monkeypatch.setattr(partition_run, "RENEW_EVERY_S", 0.0)  # so that it gets its lease again
    assert bench.run(meanwhile=another_does_it) is Ended.FENCED
    assert bench.files() == files


def test_when_redis_loses_its_data_meanwhile_the_work_is_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_run, "RENEW_EVERY_S", 0.0)
    assert bench.run(meanwhile=bench.client.flushall) is Ended.DONE
    assert isinstance(bench.result, Done) and bench.files() == [bench.result.file]


def test_a_failure_is_recorded_with_its_reason_and_leaves_no_file(bench: Bench) -> None:
    def breaks() -> None:
        raise ValueError("a snapshot\nof nothing")

    assert bench.run(generation=4, meanwhile=breaks) is Ended.FAILED
    assert bench.run(generation=5, meanwhile=breaks) is Ended.FAILED
    assert isinstance(bench.result, Failed)
    assert (bench.result.generation, bench.result.attempts) == (5, 2)
    assert bench.result.reason == "ValueError: a snapshot of nothing"
    assert bench.files() == []
    assert bench.run(generation=6) is Ended.DONE


def test_a_worker_that_is_told_to_stop_gives_the_partition_back(bench: Bench) -> None:
    worker = bench.worker()
    assert bench.run(meanwhile=worker.leave, worker=worker) is Ended.GIVEN_BACK
    assert (bench.result, bench.files()) == (None, [])
    assert bench.run(worker=bench.worker("node-002.batch")) is Ended.DONE, "in the same generation, at once"


def test_what_was_recorded_and_not_renamed_is_finished_by_the_command(bench: Bench) -> None:
    assert bench.run() is Ended.DONE
    assert isinstance(bench.result, Done)
    path = bench.out / bench.result.file
    path.rename(f"{path}.part")  # as if the worker had been killed in between
    command = JobRun(bench.client, bench.settings, bench.job, Owner("ann", "1"), lambda *_: None)
    command.wait_for_turn(0)
    command.step()
    assert command.scheduler.over
    command.end()
    assert bench.files() == [path.name, "job.json"]


def test_workers_that_write_into_another_folder_are_noticed(bench: Bench) -> None:
    now_s = 0.0

    def work_elsewhere(_: str, __: str, generation: int) -> None:
        assert bench.run(generation, worker=worker) is Ended.DONE
        shutil.rmtree(bench.out)

    worker = bench.registered("node-001.batch")
    command = JobRun(bench.client, bench.settings, bench.job, Owner("ann", "1"), work_elsewhere, lambda: now_s)
    command.wait_for_turn(0)
    for _ in range(2 * ATTEMPTS):
        now_s += 60
        command.step()
    assert command.scheduler.over
    assert "workers and this command must reach the same folder" in command.scheduler.set_aside[PART.name].reason


@pytest.mark.parametrize(
    ("queues", "said"),
    [
        (["node-001.batch", "node-001"], "a batch worker takes from its own queue alone"),
        ([".batch"], "must match"),
        (["a b.batch"], "must match"),
    ],
)
def test_a_queue_that_no_batch_worker_can_have(queues: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        choose_batch_worker(queues)


def test_the_queues_suffix_decides() -> None:
    assert choose_batch_worker(["node-001.batch"]) == "node-001.batch"
    assert choose_batch_worker(["node-001"]) is None
    with pytest.raises(ValueError, match="a batch worker's"):
        choose_node_id([], Settings.from_environment({"NT_NODE_ID": "node-001.batch"}))
    with pytest.raises(RuntimeError, match="no batch worker here"):
        this_batch_worker()
