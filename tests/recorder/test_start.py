"""A recorder that cannot start says why in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.role_process import ROOT
from tickfence.recorder.__main__ import main
from tickfence.recorder.wal import WriteAheadLog
from tickfence.settings import Settings


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


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import runpy, sys; sys.modules['pyarrow'] = None; runpy.run_module('tickfence.recorder', run_name='__main__')"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr == (
        "error: recordings need the package pyarrow, which is not installed: pip install 'tickfence[recordings]'\n"
    )
