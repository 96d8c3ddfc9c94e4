"""`python -m tools.local` as a process: what it shows, how one role is steered, how everything ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.processes import wait_until
from tests.tools.local.foreground import SMALL, Foreground, alive, environment, local
from tickfence.instrument import ACCEPTED
from tools.local.roles import ROOT
from tools.local.supervision import Supervisor


@contextmanager
def starting(folder: Path) -> Iterator[Callable[..., Foreground]]:
    """Starts them in folders below this one; they end with the block."""
    started: list[Foreground] = []

    def run(name: str = "state") -> Foreground:
        foreground = Foreground(folder / name, SMALL)
        started.append(foreground)
        foreground.wait_for(r"Logs +\S+")
        return foreground

    yield run
    for foreground in started:
        if foreground.process.poll() is None:
            foreground.process.send_signal(signal.SIGINT)
            foreground.process.wait(30)
        shutil.rmtree(Path((foreground.state / "socket").read_text()).parent, ignore_errors=True)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Foreground]]:
    with starting(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreground]:
    """One for the tests that leave its roles running."""
    with starting(tmp_path_factory.mktemp("running")) as start:
        yield start()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_in_order_and_leaves_nothing_behind(start: Callable[..., Foreground], end: signal.Signals) -> None:
    foreground = start()
    pids = foreground.pids()
    assert len(pids) >= 2
    os.killpg(foreground.process.pid, end)  # a terminal sends it to all it holds
    assert foreground.process.wait(15) == 0
    assert [pid for pid in pids if alive(pid)] == []
    assert foreground.shown().endswith("\nStopping: nodes and beats first, Redis last.\nStopped.\n")
    assert not Path((foreground.state / "socket").read_text()).parent.exists()


def test_a_role_that_ignores_sigterm_is_killed(start: Callable[..., Foreground]) -> None:
    foreground = start()
    pids = foreground.pids()
    os.kill(Supervisor.find(foreground.state).states()["redis"].pid, signal.SIGSTOP)
    foreground.process.send_signal(signal.SIGINT)
    assert foreground.process.wait(20) == 0
    assert [pid for pid in pids if alive(pid)] == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of other systems has no parent-death signal")
@pytest.mark.parametrize("victims", ["foreground", "supervisord", "both"])
def test_even_killed_it_leaves_nothing_behind(start: Callable[..., Foreground], victims: str) -> None:
    foreground = start()
    pids = foreground.pids()
    if victims in ("supervisord", "both"):
        os.kill(pids[0], signal.SIGKILL)
    if victims in ("foreground", "both"):
        foreground.process.kill()
    status = foreground.process.wait(20)
    wait_until(lambda: not any(alive(pid) for pid in pids), f"all of {pids} gone", timeout_s=20)
    if victims == "supervisord":
        assert status == 1
        assert "error: supervisord does not answer" in foreground.shown()


def test_the_line_to_try_names_the_port_that_is_in_use(running: Foreground) -> None:
    port = int(running.wait_for(r"redis-cli[^\n]*-p (\d+)")[1])
    with redis.Redis(port=port) as client:
        assert client.info("server")["process_id"] in running.pids()


def test_a_second_one_in_the_same_folder_is_told_so(running: Foreground) -> None:
    second = running.order()
    assert second.returncode == 1
    assert second.stderr == (
        f"error: a stack already runs in this folder (process {running.process.pid}): "
        "stop it with Ctrl-C there, then try again\n"
    )
    assert running.process.poll() is None


def test_two_folders_do_not_meet(running: Foreground, start: Callable[..., Foreground]) -> None:
    ports = {foreground.wait_for(r"redis-cli[^\n]*-p (\d+)")[1] for foreground in (running, start())}
    assert len(ports) == 2


def test_one_role_is_killed_seen_and_started_again_by_hand(running: Foreground) -> None:
    pid = Supervisor.find(running.state).states()["redis"].pid
    assert f"redis      runs, process {pid}\n" in running.order("status").stdout
    assert running.order("kill", "redis").returncode == 0
    running.wait_for(rf"redis \(process {pid}\) was killed; start it again: make start ROLE=redis")
    assert "redis      exited\n" in running.order("status").stdout
    assert running.order("start", "redis").returncode == 0
    again = int(running.wait_for(r"redis started \(process (\d+)\)")[1])
    assert again != pid
    assert running.order("stop", "redis").returncode == 0
    running.wait_for(rf"redis \(process {again}\) was stopped")
    assert running.order("start", "redis").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("start", "redis"), "error: redis already runs\n"),
        (("stop", "node-009"), r"error: no role 'node-009'; the roles are: ingest-1, ingest-2, redis" + "\n"),
    ],
)
def test_a_wrong_command_is_one_clear_line(running: Foreground, arguments: tuple[str, ...], said: str) -> None:
    refused = running.order(*arguments)
    assert (refused.returncode, refused.stderr) == (1, said)


def test_without_a_stack_there_is_one_clear_line(tmp_path: Path) -> None:
    refused = subprocess.run(local(tmp_path, "status"), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (
        1,
        "error: the stack is not running here; start it with: make run\n",
    )


def test_a_bad_setting_is_one_line_before_anything_starts(tmp_path: Path) -> None:
    refused = subprocess.run(
        local(tmp_path / "state"),
        cwd=ROOT,
        env=environment(**SMALL, SYMBOLS="btc"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert refused.stderr == f"error: SYMBOLS=btc: symbol 'btc' must be {ACCEPTED}\n"
    assert not (tmp_path / "state").exists()


def test_a_folder_of_any_name_will_do(start: Callable[..., Foreground]) -> None:
    foreground = start(f"a 100% 'odd' \"name\"; {'long' * 30}")
    assert Supervisor.find(foreground.state).states()["redis"].running


@pytest.mark.parametrize("name", ["a ; b", "a # b"])
def test_a_name_that_cannot_be_configured_is_one_clear_line(tmp_path: Path, name: str) -> None:
    refused = subprocess.run(
        local(tmp_path / name), cwd=ROOT, env=environment(**SMALL), capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "contains ' ;' or ' #', which supervisord's configuration cannot hold" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "state"
    refused = subprocess.run(
        local(folder), cwd=ROOT, env=environment(**SMALL), capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stderr) == (1, f"error: {folder}: cannot be written: Not a directory\n")


def test_the_terminals_end_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    state = tmp_path / "state"
    process = subprocess.Popen(
        local(state), cwd=ROOT, env=environment(**SMALL), stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout
    for line in process.stdout:
        if b"Logs" in line:
            break
    pid = Supervisor.find(state).states()["redis"].pid
    process.stdout.close()  # from now on each write fails
    process.send_signal(signal.SIGHUP)
    assert process.wait(15) == 0
    assert not alive(pid)


def test_stale_files_of_a_killed_stack_are_no_hindrance(start: Callable[..., Foreground], tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "socket").write_text("")
    (state / "lock").write_text("999999\n")
    (state / "supervisord.pid").write_text("999999\n")
    foreground = start()
    assert Supervisor.find(foreground.state).states()["redis"].running
    assert time.time() - (state / "env").stat().st_mtime < 60
