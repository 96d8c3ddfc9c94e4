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
