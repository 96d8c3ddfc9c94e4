"""Logs are one JSON object a line, and a process's fields stand in every one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def logged(program: str) -> list[dict[str, object]]:
    """What a process that runs ``program`` writes to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_lines_are_json_with_the_calls_fields_and_the_processs() -> None:
    first, second = logged(
        "import logging; from tickfence.monitoring import logs\n"
        "logs.configure('INFO', role='node', node='node-001')\n"
        "log = logging.getLogger('tasks.cycles')\n"
        "log.info('lease taken', extra={'symbol': 'BTCUSDT', 'token': 17})\n"
        "log.debug('not at this level')\n"
        "log.warning('two\\nlines, %s and \"quotes\"', 'Δ')\n"
    )
    assert first.pop("time") <= second.pop("time")  # type: ignore[operator]
    assert first == {
        "level": "INFO",
        "logger": "tasks.cycles",
        "message": "lease taken",
        "role": "node",
        "node": "node-001",
        "symbol": "BTCUSDT",
        "token": 17,
    }
    assert second["message"] == 'two\nlines, Δ and "quotes"'


def test_fields_stay_when_it_is_configured_again_and_no_line_is_written_twice() -> None:
    lines = logged(
        "import logging; from tickfence.monitoring import logs\n"
        "logs.configure('DEBUG', role='node')\n"
        "logs.configure('DEBUG', node='node-001')\n"
        "logs.configure('DEBUG')\n"
        "logging.getLogger('x').debug('here')\n"
    )
    assert [(line["message"], line["role"], line["node"]) for line in lines] == [("here", "node", "node-001")]


def test_an_exception_stays_on_its_line() -> None:
    [line] = logged(
        "import logging; from tickfence.monitoring import logs\n"
        "logs.configure('INFO')\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.getLogger('x').exception('failed')\n"
    )
    assert line["message"] == "failed"
    assert "ZeroDivisionError" in str(line["exc_info"])


@pytest.mark.parametrize(("level", "shown"), [("INFO", False), ("DEBUG", True)])
def test_celerys_two_lines_a_task_are_left_out_unless_asked_for(level: str, shown: bool) -> None:
    lines = logged(
        "import logging; from tickfence.monitoring import logs\n"
        f"logs.configure({level!r})\n"
        "logging.getLogger('celery.app.trace').info('Task succeeded')\n"
        "logging.getLogger('celery.app.trace').error('Task failed')\n"
    )
    assert [line["message"] for line in lines] == ["Task succeeded", "Task failed"][not shown :]


class Unread:
    """A process whose standard error is a pipe that nobody reads, until `rest` does."""

    def __init__(self, program: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        """The next line of its standard output."""
        assert self.process.stdout
        return self.process.stdout.readline().rstrip()

    def rest(self) -> list[str]:
        """Everything it has written to standard error and writes until it ends."""
        _, errors = self.process.communicate(timeout=30)
        return errors.splitlines()


FILL = (
    "import logging, sys, time; from tickfence.monitoring import logs, log_writer, standard_streams\n"
    "standard_streams.bound_waits()\n"
    "logs.configure('INFO', role='node')\n"
    "log = logging.getLogger('x')\n"
    "for number in range(20_000):\n    log.info('line', extra={'number': number})\n"
)


def test_logging_goes_on_while_nobody_reads_and_tells_what_was_dropped() -> None:
    process = Unread(
        FILL + "from tickfence.monitoring.registry import RoleRegistry\n"
        "print(int(RoleRegistry().get_sample_value('nt_log_lines_dropped_total')), flush=True)\n"
        "sys.stdin.read()\n"
    )
    dropped = int(process.says())
    lines = [json.loads(line) for line in process.rest()]
    numbers = [line["number"] for line in lines if line["message"] == "line"]
    assert numbers == list(range(len(numbers))), "the oldest lines are written, each once, in order"
    assert len(numbers) + dropped == 20_000
    assert dropped > 0
    assert [(line["count"], line["level"]) for line in lines if "count" in line] == [(dropped, "WARNING")]


def test_the_end_waits_for_the_last_lines_but_not_long() -> None:
    lines = logged(FILL.replace("20_000", "2000"))
    assert lines[-1]["number"] == 1999
    process = Unread(FILL + "sys.stderr.write('a print\\n' * 100_000)\nprint('printed', flush=True)\n")
    assert process.says() == "printed"
    assert process.process.wait(timeout=10) == 0


def test_a_crash_and_its_traceback_come_through() -> None:
    process = Unread(FILL.replace("20_000", "3") + "raise LookupError('of no avail')\n")
    lines = process.rest()
    assert process.process.returncode == 1
    assert "LookupError: of no avail" in lines
    assert sum('"line"' in line for line in lines) == 3


def test_a_child_of_a_fork_logs_by_itself() -> None:
    lines = logged(
        "import logging, os; from tickfence.monitoring import logs\n"
        "logs.configure('INFO')\n"
        "logging.getLogger('x').info('parent')\n"
        "if not os.fork():\n    logging.getLogger('x').info('child'); logging.shutdown(); os._exit(0)\n"
        "os.wait()\n"
    )
    assert sorted(str(line["message"]) for line in lines) == ["child", "parent"]


def test_a_line_may_be_logged_by_a_signal_handler_within_another() -> None:
    lines = logged(
        "import logging, signal, sys; from tickfence.monitoring import logs\n"
        "logs.configure('INFO')\n"
        "log = logging.getLogger('x')\n"
        "signal.signal(signal.SIGALRM, lambda *_: log.info('signal'))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\n"
        "for number in range(1000):\n    log.info('line')\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
    )
    assert sum(line["message"] == "line" for line in lines) == 1000
    assert any(line["message"] == "signal" for line in lines)


def test_lines_go_into_a_file_and_into_a_new_one_after_it_was_renamed(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    nothing = logged(
        "import logging, os; from tickfence.monitoring import logs\n"
        f"logs.configure('INFO', file={str(log)!r})\n"
        "logs.configure('INFO', role='node')\n"
        "logging.getLogger('x').info('first')\n"
        "logging.getLogger().handlers[0].flush()\n"
        f"os.rename({str(log)!r}, {str(log) + '.1'!r})\n"
        "logging.getLogger('x').info('second')\n"
    )
    assert nothing == []
    assert json.loads((tmp_path / "node.log.1").read_text())["message"] == "first"
    assert json.loads(log.read_text())["message"] == "second"


def test_a_detached_process_crashes_into_its_file(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import logging, os; from tickfence.monitoring import logs\n"
            f"for _ in range(2): logs.configure('INFO', file={str(log)!r})\n"
            f"os.rename({str(log)!r}, {str(log) + '.1'!r})\n"
            "logging.getLogger('x').info('line')\n"
            "logging.getLogger().handlers[0].flush()\n"
            "raise LookupError('of no avail')\n",
        ],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 1
    assert '"message": "line"' in log.read_text()
    assert "LookupError: of no avail" in log.read_text()


def test_a_file_that_cannot_be_opened_is_one_line_and_status_2() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from tickfence.monitoring import logs; logs.configure('INFO', file='/nowhere/x.log')"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "error: log file /nowhere/x.log: cannot be opened: No such file or directory\n"
