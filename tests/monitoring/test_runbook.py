"""What the runbook tells to look at is there: commands, expressions, settings, and the words of logs and labels."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from local.embedded_redis import EmbeddedRedis, find_cli
from local.roles import ROOT, celery
from local.stack import Stack
from settings import Settings
from tests.monitoring.promql import exposed, names
from tests.monitoring.promtool import promtool

PAGE = (ROOT / "docs" / "runbook.md").read_text()
QUOTED = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))

CELERY = [text for text in QUOTED if text.startswith("celery -A tasks ") and not text.endswith(" beat")]
COMMANDS = [text for text in QUOTED if text.startswith("redis-cli ") and "<" not in text]
LOOKS = [command for command in COMMANDS if "UNLINK" not in command]
EXPRESSIONS = [text for text in QUOTED if re.match(r"(sum|max|rate|nt_\w+|process_\w+)\b", text)]
SETTINGS = [text for text in QUOTED if re.fullmatch(r"NT_\w+|REDIS_URL|CELERY_BROKER_URL|SYMBOLS", text)]

# Of other programs: Redis' errors and settings, HTTP, the system's own commands.
FOREIGN = {
    *("NOAUTH", "NOPERM", "OOM", "OOM command not allowed", "READONLY", "WRONGTYPE"),
    *("maxmemory-policy", "noeviction", "200", "418", "429", '"418"'),
    *("celery -A tasks beat", "dmesg", "make run", "rabbitmq-diagnostics alarms", "rabbitmqctl list_connections"),
    *("redis-cli -p 26379 SENTINEL get-master-addr-by-name <service>", "lease:{report:…}"),
}
WORDS = sorted({*QUOTED} - {*CELERY, *COMMANDS, *EXPRESSIONS, *SETTINGS} - FOREIGN)


def shell(command: str, port: int, folder: Path) -> str:
    """What a command prints where `redis-cli` goes to ``port``."""
    cli = find_cli()
    assert cli is not None
    program = folder / "redis-cli"
    program.write_text(f'#!/bin/sh\nexec {cli} -p {port} "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "REDIS_URL": f"redis://127.0.0.1:{port}/0"}
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout


@pytest.mark.e2e
@pytest.mark.parametrize("command", LOOKS)
def test_each_look_at_redis_shows_something(command: str, stack: Stack, tmp_path: Path) -> None:
    shown = shell(command, stack.ports.redis, tmp_path)
    assert shown.strip()
    assert "ERR" not in shown


@pytest.mark.e2e
@pytest.mark.parametrize("command", CELERY)
def test_each_look_by_celery_shows_something(command: str, stack: Stack) -> None:
    words = celery(*command.split()[3:])
    environment = {**os.environ, **stack.environment}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 2


def test_the_market_data_is_deleted_by_its_command_and_nothing_else_is(
    own_redis_server: Callable[..., EmbeddedRedis], tmp_path: Path
) -> None:
    server = own_redis_server()
    with server.client() as client:
        client.mset({"md:{BTCUSDT}:trades": "", "md:{BTCUSDT}:book": "", "report:BTCUSDT": "", "nt:assignment": ""})
        [command] = set(COMMANDS) - set(LOOKS)
        shell(command, server.port, tmp_path)
        assert sorted(client.keys()) == [b"nt:assignment", b"report:BTCUSDT"]


def test_each_expression_is_promql_of_metrics_that_exist(tmp_path: Path) -> None:
    bases = {name.removesuffix("_bucket") for name in exposed()}
    for expression in EXPRESSIONS:
        assert set() < names(expression) <= exposed() | bases, expression
    records = [{"record": f"look:{number}", "expr": expression} for number, expression in enumerate(EXPRESSIONS)]
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "runbook", "rules": records}]}))
    promtool("check", "rules", str(rules))


def test_each_setting_is_one() -> None:
    assert {name.lower() for name in SETTINGS} <= Settings.model_fields.keys()


@pytest.mark.parametrize("word", WORDS)
def test_each_word_of_a_log_a_label_or_a_field_stands_in_the_code(word: str) -> None:
    if (ROOT / word).exists() or word == ".local/logs/":
        return
    folders = ("analytics", "beat_schedule", "coordination", "ingest", "monitoring", "tasks")
    code = "".join(path.read_text() for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    assert all(part in code for part in word.split(".")), word
