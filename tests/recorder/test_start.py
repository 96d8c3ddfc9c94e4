"""A recorder that cannot start says why in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import redis

from tickfence.coordination.clock import ServerClock
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import Registration
from tickfence.keys import Keys
from tickfence.recorder.__main__ import main
from tickfence.recorder.wal import WriteAheadLog
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis


def run(capsys: pytest.CaptureFixture[str], **variables: object) -> str:
    """The line that it ends with."""
    assert main(Settings.from_environment({name: str(value) for name, value in variables.items()})) == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_two_do_not_share_a_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    line = run(capsys, NT_RECORDER_WAL=tmp_path)
    assert line.startswith(
        f"error: NT_RECORDER_WAL={tmp_path}: {tmp_path}: another recorder has this write-ahead log open"
    )
    log.close()


def test_a_folder_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "log"
    assert run(capsys, NT_RECORDER_WAL=path) == (
        f"error: NT_RECORDER_WAL={path}: must be a folder that can be written: Not a directory"
    )


def test_an_address_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    line = run(capsys, NT_RECORDINGS="nowhere://x")
    assert line.startswith("error: NT_RECORDINGS=nowhere://x: recordings 'nowhere://x' must be a folder or a URL")


def test_another_recorder_has_its_name(
    capsys: pytest.CaptureFixture[str], redis_server: EmbeddedRedis, redis_client: redis.Redis, tmp_path: Path
) -> None:
    one = Registration(
        redis_server.url(),
        Keys().recorder_group,
        Owner.start("one"),
        {"weight": 1, "host": "host-1", "pid": 7},
        interval_ms=50,
        ttl_ms=60_000,
        clock=ServerClock(),
        on_replaced=lambda _: None,
    )
    one.register()
    line = run(
        capsys,
        NT_RECORDER_WAL=tmp_path,
        NT_NAME="one",
        REDIS_URL=redis_server.url(),
        NT_METRICS_PORT=0,
        NT_HEARTBEAT_TTL_MS=60_000,
    )
    one.leave()
    assert line == "error: NT_NAME=one: another live recorder has this name (pid 7 on host-1)"
    assert redis_client.zcard(Keys().recorder_group.live) == 0


def test_without_the_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "tickfence.recordings.store", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run(capsys) == (
        "error: recordings need the package pyarrow, which is not installed: pip install 'tickfence[recordings]'"
    )
