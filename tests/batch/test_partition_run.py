"""One partition on one batch worker, and what happens to it meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from msgspec.structs import replace
from pyarrow import parquet as pq

from tasks import partition_run
from tasks.batch_worker import BatchWorker, choose_batch_worker
from tasks.lifecycle import choose_node_id, this_batch_worker
from tasks.partition_run import Message, run_partition
from tasks.rebuilt import Rebuilt
from tasks.recorded_entries import Recorded
from tests.batch.flaky import Flaky
from tests.batch.recorded import BEGIN, reports_of
from tickfence.batch.job import Done, Failed, Job
from tickfence.batch.job_run import JobRun
from tickfence.batch.output import Output, OutputFailed
from tickfence.batch.partition import cut
from tickfence.batch.scheduling import ATTEMPTS
from tickfence.batch.store import JobStore
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.monitoring.batch_metrics import Ended
from tickfence.recordings.kinds import Kind
from tickfence.recordings.layout import HOUR_MS
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis

[PART] = cut([Instrument("BTCUSDT")], BEGIN, BEGIN + HOUR_MS)


class Bench:
    """A job of one partition, its store, and workers."""

    def __init__(self, client: redis.Redis, url: str, folder: Path) -> None:
        self.client, self.out, self.now_s = client, folder / "out", 1000.0
        self.settings = Settings.from_environment({"REDIS_URL": url, "NT_HANG_EXIT_S": "0"})
        self.put(Job("j-1", 1, str(folder), str(self.out), None, (PART,)))

    def put(self, job: Job) -> None:
        """Let this be the job."""
        self.job = job
        self.store = JobStore(self.client, self.settings.keys, job, Owner("ann", "1"))
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

    def command(self, send: Callable[[str, str, int], object] = lambda *_: None) -> JobRun:
        """A command whose turn it is; ``now_s`` is its clock."""
        command = JobRun(self.client, self.settings, self.job, Owner("ann", "1"), send, lambda: self.now_s)
        command.wait_for_turn(0)
        return command

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


def test_a_worker_that_is_told_to_stop_while_redis_is_gone_ends_in_order(
    own_redis_server: Callable[..., EmbeddedRedis], tmp_path: Path
) -> None:
    server = own_redis_server()
    with server.client() as client:
        bench = Bench(client, server.url(), tmp_path)
        worker = bench.worker()

        def stop() -> None:
            worker.leave()
            server.kill()

        assert bench.run(meanwhile=stop, worker=worker) is Ended.GIVEN_BACK
        assert bench.files() == []


def test_what_was_recorded_and_not_renamed_is_finished_by_the_command(bench: Bench) -> None:
    assert bench.run() is Ended.DONE
    assert isinstance(bench.result, Done)
    path = bench.out / bench.result.file
    path.rename(f"{path}.part")  # as if the worker had been killed in between
    command = bench.command()
    command.step()
    assert command.over
    command.end()
    assert bench.files() == [path.name, "job-j-1.json"]


def test_workers_that_write_into_another_folder_are_noticed(bench: Bench) -> None:
    def work_elsewhere(_: str, __: str, generation: int) -> None:
        assert bench.run(generation, worker=worker) is Ended.DONE
        shutil.rmtree(bench.out)

    worker = bench.registered("node-001.batch")
    command = bench.command(work_elsewhere)
    for _ in range(2 * ATTEMPTS):
        bench.now_s += 60
        command.step()
    assert command.scheduler.over
    assert "workers and this command must reach the same folder" in command.scheduler.set_aside[PART.name].reason


def test_a_worker_that_is_told_to_stop_before_its_first_report_gives_the_partition_back(bench: Bench) -> None:
    worker = bench.worker()

    def begin(recording: Recorded, *_: Any) -> Iterator[Rebuilt]:
        worker.leave()
        recording.table(Kind.DIFFS)
        raise AssertionError("it went on")

    assert run_partition(worker, Message("j-1", PART.name, 1), begin) is Ended.GIVEN_BACK


def test_two_jobs_in_one_folder_leave_each_others_files_alone(bench: Bench) -> None:
    one, other = (Output(str(bench.out), job) for job in ("j-1", "j-2"))
    files = []
    for output in (one, other):
        with output.writing(PART, 7, "w") as file:
            file.add(BEGIN, b"{}")
        assert output.publish(file.done.file)
        assert output.published() == {PART.name: file.done.file}
        files.append(file.done.file)
    with one.writing(PART, 8, "w"):
        assert other.sweep(set()) == [files[1]]
    assert one.sweep(files) == [f"{PART.symbol}.{PART.hour}.j-1.8.parquet.part"]
    assert bench.files() == [files[0]]


def test_of_two_jobs_one_at_most_gets_a_folder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (Output(str(bench.out), job) for job in ("j-1", "j-2"))
    save = Output.save_job

    def both_at_once(output: Output, data: bytes) -> None:
        save(other, b"{}")
        save(output, data)

    with monkeypatch.context() as patch:
        patch.setattr(Output, "save_job", both_at_once)
        assert (one.claim(b"{}"), bench.files()) == (["j-2"], ["job-j-2.json"])
    assert (other.claim(b"{}"), one.claim(b"{}"), one.load_job()) == ([], ["j-2"], None)


@pytest.fixture
def flaky(bench: Bench) -> type[Flaky]:
    Flaky.reset()
    bench.put(replace(bench.job, output="flaky://out"))
    return Flaky


@pytest.mark.parametrize("call", ["open", "ls"])
def test_a_store_that_fails_is_a_failed_attempt_and_the_next_one_is_done(
    bench: Bench, flaky: type[Flaky], call: str
) -> None:
    flaky.failing[call] = 1
    assert bench.run(1) is Ended.FAILED
    assert isinstance(bench.result, Failed) and f"StoreError: 503 for {call}" in bench.result.reason
    assert bench.run(2) is Ended.DONE


def test_a_store_that_does_not_delete_is_no_reason_to_keep_a_partition(bench: Bench, flaky: type[Flaky]) -> None:
    worker = bench.worker()
    flaky.failing["rm_file"] = 1
    assert bench.run(1, worker.leave, worker) is Ended.GIVEN_BACK


def failing_to_rename(bench: Bench, flaky: type[Flaky], times: int) -> JobRun:
    """A command whose worker has made the partition; the next ``times`` renames fail, the worker's included."""

    def work(_: str, __: str, generation: int) -> None:
        made.append(generation)
        flaky.failing["mv"] = times
        assert bench.run(generation, worker=worker) is Ended.DONE

    made: list[int] = []
    worker = bench.registered("node-001.batch")
    command = bench.command(work)
    command.step()
    assert len(made) == 1
    return command


def test_what_a_worker_did_not_rename_the_command_renames_and_nothing_is_made_again(
    bench: Bench, flaky: type[Flaky]
) -> None:
    command = failing_to_rename(bench, flaky, 2)
    for passes, over in ((0.0, False), (0.5, False), (2.0, True)):
        bench.now_s += passes
        command.step()
        assert command.over is over
    command.end()
    assert isinstance(bench.result, Done) and Output("flaky://out", "j-1").published() == {PART.name: bench.result.file}


def test_what_is_never_renamed_is_set_aside_with_the_reason(bench: Bench, flaky: type[Flaky]) -> None:
    command = failing_to_rename(bench, flaky, 99)
    for _ in range(ATTEMPTS):
        assert not command.over
        bench.now_s += 10
        command.step()
    assert command.over
    assert "503 for mv" in command.scheduler.set_aside[PART.name].reason


def test_a_command_that_could_not_begin_begins_with_its_next_step(bench: Bench, flaky: type[Flaky]) -> None:
    bench.run(1)
    bench.client.flushall()
    command = bench.command()
    flaky.failing["ls"] = 1
    with pytest.raises(OutputFailed, match="flaky://out: StoreError: 503 for ls"):
        command.step()
    command.step()
    assert command.over and isinstance(bench.result, Done)
    assert (bench.result.reports, bench.result.not_warm) == (60, 1), "as the file itself tells"


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
