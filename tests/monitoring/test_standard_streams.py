"""What a role prints, and the end of one that hangs, do not wait for its reader."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BOUND = "from tickfence.monitoring import standard_streams; standard_streams.bound_waits()\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe, to read from and to write to."""
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def fill(write: int) -> None:
    os.set_blocking(write, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(write, b"x")
    os.set_blocking(write, True)


def ended(program: str, write: int) -> int:
    """The exit status of a process that writes its output to a pipe."""
    process = subprocess.Popen([sys.executable, "-c", BOUND + program], cwd=ROOT, stdout=write, stderr=write)
    try:
        return process.wait(10)
    finally:
        process.kill()


def test_a_print_into_a_full_pipe_is_dropped_and_no_error(pipe: tuple[int, int]) -> None:
    fill(pipe[1])
    assert ended("import sys\nfor _ in range(1000): print('x' * 100); print('x', file=sys.stderr)\n", pipe[1]) == 0
    assert os.get_blocking(pipe[1]), "for others that have this pipe, nothing changes"


def test_a_process_that_hangs_ends_although_nobody_reads_its_traceback(pipe: tuple[int, int]) -> None:
    fill(pipe[1])
    hang = "import faulthandler, time; faulthandler.dump_traceback_later(0.1, exit=True); time.sleep(60)"
    assert ended(hang, pipe[1]) == 1


def test_what_is_read_comes_whole_and_in_order(pipe: tuple[int, int]) -> None:
    assert ended("import sys\nprint('Δ' * 1000)\nprint('then', file=sys.stderr)\nsys.exit('last')\n", pipe[1]) == 1
    assert os.read(pipe[0], 65536).decode() == "Δ" * 1000 + "\nthen\nlast\n"


def test_a_file_is_not_written_from_its_start_again(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file:
        file.write("before\n")
        file.flush()
        assert ended("print('after')", file.fileno()) == 0
    assert (tmp_path / "out").read_text() == "before\nafter\n"
