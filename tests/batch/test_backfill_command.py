"""``celery backfill`` and ``celery batch``, with workers that work as soon as they are sent a message."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from click.testing import Result

from tasks.batch_worker import BatchWorker
from tasks.partition_run import Message, run_partition
from tests.batch.recorded import rebuild, record
from tests.cli.processes import typed
from tests.docs.pages import ROOT, blocks
from tickfence.batch.job import Done, Job
from tickfence.batch.job_run import JobRun
from tickfence.batch.store import read_jobs, see
from tickfence.cli import backfill
from tickfence.cli.backfill_progress import Summary
from tickfence.coordination.owner import Owner
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis

SYMBOLS = ["BTCUSDT", "ETHUSDT"]
FROM = "--from 2025-12-02T10:00"


class Desk:
    """Where one types commands. Each message is worked on at once, by the one worker that lives."""

    def __init__(self, client: redis.Redis, url: str, folder: Path) -> None:
        self.client, self.url, self.folder = client, url, folder
        self.source = record(folder / "recordings", SYMBOLS, hours=2)
        settings = Settings.from_environment({"REDIS_URL": url, "NT_HANG_EXIT_S": "0"})
        self.keys = settings.keys
        self.worker = BatchWorker(settings, "node-001.batch")
        self.made: list[str] = []
        self.poison = ""

    def send_task(self, task: str, arguments: tuple[str, str, int], *, queue: str, **_: Any) -> None:
        def make(*asked: Any) -> Any:
            if arguments[1] == self.poison:
                raise ValueError("poison")
            self.made.append(arguments[1])
            return rebuild(*asked)

        assert (task, queue) == ("tasks.backfill_partition", self.worker.owner.node)
        run_partition(self.worker, Message(*arguments), make)

    def alive(self) -> None:
        group, owner = self.keys.batch_worker_group, self.worker.owner
        record = {"incarnation": owner.incarnation, "client_id": 0, "weight": 1, "host": "h"}
        self.client.hset(group.record(owner.node), mapping=record)
        self.client.zadd(group.live, {owner.node: self.client.time()[0] * 1000})

    def type(self, line: str) -> Result:
        self.alive()
        app = SimpleNamespace(app=self, no_color=True)
        return typed(self.url, line, env={"NT_RECORDINGS": self.source}, obj=app)

    @property
    def job(self) -> str:
        return read_jobs(self.client, self.keys)[0].id


@pytest.fixture
def desk(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Desk:
    monkeypatch.setattr(backfill, "EVERY_S", 0.005)
    return Desk(redis_client, redis_server.url(), tmp_path)


def test_a_job_from_its_start_to_its_view(desk: Desk) -> None:
    shown = desk.type(f"backfill {FROM} --every 30s")
    assert shown.exit_code == 0, shown.output
    assert "480 reports of 4 partitions in " in shown.output
    lines = [line for line in shown.output.splitlines() if " of 4)" in line]
    assert len(lines) == 4 and all("120 reports in" in line and "by node-001.batch" in line for line in lines[1:])
    view = json.loads(desk.type(f"batch show {desk.job} --json").stdout)
    assert {row["state"] for row in view["partitions"]} == {"done"}
    assert len([*Path(view["output"]).glob("*.parquet")]) == 4
    listed = json.loads(desk.type("batch list --json").stdout)
    assert [(job["job"], job["done"], job["partitions"]) for job in listed["jobs"]] == [(desk.job, 4, 4)]
    assert [one["worker"] for one in listed["workers"]] == ["node-001.batch"]
    for command in ("batch list", f"batch show {desk.job}"):
        assert "node-001.batch" in desk.type(command).stdout


def test_the_program_of_the_page_reads_the_reports(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.type(f"backfill {FROM} --symbols ETHUSDT --every 1m")
    [program] = [text for language, text in blocks((ROOT / "docs" / "batch.md").read_text()) if language == "python"]
    monkeypatch.chdir(desk.folder)
    exec(compile(program, "batch.md", "exec"), {})
    assert "ETHUSDT" in (shown := capsys.readouterr().out) and " 120 " in shown and "42" in shown


def test_a_job_whose_record_redis_has_lost_goes_on_from_its_files(desk: Desk) -> None:
    found = json.loads(desk.type(f"backfill {FROM} --json").stdout)
    files = sorted(Path(found["output"]).glob("*.parquet"))
    files[1].unlink()
    desk.client.flushall()
    desk.made.clear()
    again = json.loads(desk.type(f"backfill --resume {found['job']} --json").stdout)
    assert (again["done"], again["reports"]) == (4, found["reports"])
    assert again["notWarm"] == found["notWarm"] == 4
    assert desk.made == ["BTCUSDT:2025-12-02T11"]
    assert sorted(path.name.rsplit(".", 3)[0] for path in Path(found["output"]).glob("*.parquet")) == sorted(
        path.name.rsplit(".", 3)[0] for path in files
    )
    assert set(files) - {files[1]} <= set(Path(found["output"]).glob("*.parquet"))


def test_poison_is_set_aside_with_its_reason_and_tried_again_when_told_to(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickfence.batch.scheduling.FIRST_PAUSE_S", 0.001)
    desk.poison = "ETHUSDT:2025-12-02T10"
    shown = desk.type(f"backfill {FROM}")
    assert shown.exit_code == 1
    assert f"{desk.poison}: set aside after 3 attempts: ValueError: poison" in shown.output
    assert f"--resume {desk.job}" in shown.output
    [row] = [r for r in json.loads(desk.type(f"batch show {desk.job} --json").stdout)["partitions"] if r["reason"]]
    assert (row["state"], row["reason"]) == ("set aside", "ValueError: poison")
    desk.poison = ""
    assert desk.type(f"backfill --resume {desk.job}").exit_code == 0


def test_a_second_command_for_a_job_is_refused_and_one_that_was_killed_is_no_hindrance(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.type(f"backfill {FROM}")
    [job] = read_jobs(desk.client, desk.keys)
    settings = Settings.from_environment({"REDIS_URL": desk.url})
    first = JobRun(desk.client, settings, job, Owner("ann", "1"), lambda *_: None)
    first.wait_for_turn(0)
    reads = JobRun.step

    def hold(*_: Any) -> Any:
        first.step()

    monkeypatch.setattr("time.sleep", hold)  # while the second waits, the first goes on
    shown = desk.type(f"backfill --resume {job.id}")
    assert (shown.exit_code, shown.output.splitlines()[-1]) == (
        2,
        f"Error: another command, ann, works on job {job.id}",
    )
    monkeypatch.undo()
    desk.client.delete(desk.keys.batch_command(job.id))  # its lease is over
    assert desk.type(f"backfill --resume {job.id}").exit_code == 0
    assert reads is JobRun.step


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("backfill", 2, "--from TIME is needed, or --resume JOB"),
        ("backfill --resume nobody", 1, "there is no job nobody: neither in Redis nor in"),
        ("backfill --resume ../x", 2, "must match"),
        ("backfill --resume j --symbols A", 2, "leave out --symbols"),
        ("backfill --resume j --every live", 2, "leave out --every"),
        (f"backfill {FROM} --symbols XRPUSDT", 1, "nothing is recorded of XRPUSDT in"),
        ("batch show nobody", 1, "there is no job 'nobody' in Redis"),
    ],
)
def test_what_cannot_be_done_is_one_line(desk: Desk, line: str, status: int, said: str) -> None:
    shown = desk.type(line)
    assert shown.exit_code == status
    assert said in shown.output.splitlines()[-1]


def test_a_folder_with_the_reports_of_another_job_is_left_alone(desk: Desk) -> None:
    assert desk.type(f"backfill {FROM} --output {desk.folder}/out").exit_code == 0
    files = sorted((desk.folder / "out").iterdir())
    shown = desk.type(f"backfill {FROM} --output {desk.folder}/out")
    assert (shown.exit_code, shown.output.count("holds the reports of job")) == (2, 1)
    assert sorted((desk.folder / "out").iterdir()) == files


@pytest.mark.parametrize("lost", [False, True])
def test_another_folder_than_the_jobs_own_is_refused(desk: Desk, lost: bool) -> None:
    desk.type(f"backfill {FROM} --output {desk.folder}/out")
    job = desk.job
    if lost:
        desk.client.flushall()
        (desk.folder / "out").rename(desk.folder / "other")
    shown = desk.type(f"backfill --resume {job} --output {desk.folder}/other")
    assert shown.exit_code == 2
    assert f"--output {desk.folder}/other: the reports of job {job} go to {desk.folder}/out;" in shown.output
    shown = desk.type(f"backfill --resume another --output {desk.folder}/out")
    assert (shown.exit_code, "there is no job another" in shown.output) == (1, True)


@pytest.mark.parametrize(("every_ms", "reports", "told"), [(None, 0, True), (None, 1, False), (250, 0, False)])
def test_why_there_are_no_reports_at_the_live_times_is_said(every_ms: int | None, reports: int, told: bool) -> None:
    job = Job("j-1", 1, "recordings", "out", every_ms, ())
    text = Summary(job, {"BTCUSDT:2025-12-02T10": Done("one.parquet", reports)}, {}, 1.0).text().plain
    assert ("--every 250ms computes reports without them" in text) is told


@pytest.mark.parametrize("line", ["backfill --from -1h", "audit"])
def test_without_recordings_it_says_where_they_come_from(desk: Desk, line: str) -> None:
    desk.source = str(desk.folder / "nowhere")
    shown = desk.type(line)
    assert (shown.exit_code, shown.output.splitlines()[-1]) == (
        1,
        f"Error: there are no recordings in {desk.source}: set NT_RECORDINGS to the folder or URL that recorders "
        "write into, or record first: make run ARGS=--record. A recorder's first files come after a minute",
    )


def test_without_a_worker_the_command_says_so_and_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "alive", lambda: None)
    monkeypatch.setattr(backfill, "WITHOUT_WORKERS_S", 0.02)
    shown = desk.type(f"backfill {FROM}")
    assert shown.exit_code == 1
    assert shown.output.count("no batch worker is alive; start one: celery -A tasks worker -Q node-001.batch") == 1
    assert f"Go on with: celery -A tasks backfill --resume {desk.job}" in shown.output


def test_a_broker_that_takes_no_messages_is_told_and_tried_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[str] = []
    send: Callable[..., None] = desk.send_task

    def fail_once(task: str, arguments: Any, **options: Any) -> None:
        if not failed:
            failed.append(arguments[1])
            raise ConnectionError("refused")
        send(task, arguments, **options)

    monkeypatch.setattr(desk, "send_task", fail_once)
    monkeypatch.setattr("tickfence.batch.scheduling.LOST_AFTER_S", 0.02)
    shown = desk.type(f"backfill {FROM}")
    assert shown.exit_code == 0, shown.output
    assert "the broker takes no messages, retrying: refused" in shown.output
    seen = see(desk.client, desk.keys, desk.job, failed)
    assert isinstance(seen[failed[0]].result, Done)
