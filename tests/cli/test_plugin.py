"""How Celery's command line gets the commands, and what they say when there is nothing to show."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
import redis

from tests.cli.processes import CELERY, celery, environment
from tickfence.cli import plugin
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.roles import ROOT

NOBODY = "redis://127.0.0.1:1/0"
GROUP = "celery.commands"


def test_the_project_is_installed_with_its_entry_points() -> None:
    """`make` does it (tools/local/install.sh); by hand: pip install --no-deps --no-build-isolation --editable ."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
    commands = {name: value for name, value in vars(plugin).items() if isinstance(value, click.Command)}
    assert named.keys() == commands.keys()
    installed = {entry.name: entry.load() for entry in entry_points(group=GROUP) if entry.name in named}
    assert installed == {name: commands[name] for name in named}


def test_workers_and_beats_do_not_load_what_commands_need() -> None:
    heavy = "{'rich', 'numpy', 'pydantic', 'tasks', 'tickfence.settings', 'tickfence.redis_access'}"
    loaded = f"import sys; import celery.bin.celery; print(sorted(set(sys.modules) & {heavy}))"
    shown = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, cwd=ROOT, check=True)
    assert shown.stdout == "[]\n"


def test_from_another_folder_celery_is_told_where_the_checkout_is(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    """The checkout is on no import path: only the package `tickfence` is installed. `--workdir` names it to Celery."""
    redis_client.hset("nt:assignment", mapping={"term": 1, "generation": 1, "BTCUSDT": "node-001/a"})
    shown = celery(redis_server.url(), "owners", folder=tmp_path, options=("--workdir", str(ROOT)))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "BTCUSDT" in shown.stdout
    assert "tasks" in celery(redis_server.url(), "owners", folder=tmp_path).stderr


def test_celerys_own_report_is_left_alone() -> None:
    shown = celery(NOBODY, "report")
    assert shown.returncode == 0
    assert shown.stdout.startswith("\nsoftware -> celery:")


def test_without_an_app_too_a_command_tells_how_it_is_used() -> None:
    shown = subprocess.run([sys.executable, CELERY, "show", "--help"], capture_output=True, text=True, check=True)
    assert "[OPTIONS] SYMBOL" in shown.stdout
    assert "--watch" in shown.stdout


@pytest.mark.parametrize("command", [("owners",), ("show", "BTCUSDT", "--json")])
def test_a_redis_that_cannot_be_reached_is_one_line_and_a_status(command: tuple[str, ...]) -> None:
    shown = celery("redis://ann:secret@127.0.0.1:1/0", *command)
    assert (shown.returncode, shown.stdout) == (69, "")
    assert shown.stderr.startswith("Error: REDIS_URL=redis://ann:***@127.0.0.1:1/0: ")
    assert shown.stderr.count("\n") == 1


def plain_celery(url: str, *arguments: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `celery ARGUMENTS` without an app, outside the checkout."""
    return subprocess.run(
        [sys.executable, CELERY, *arguments],
        cwd=folder,
        env=environment(url, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_variables_of_another_program_are_ignored(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    redis_client.hset("nt:assignment", mapping={"term": 1, "generation": 1, "BTCUSDT": "node-001/a"})
    foreign = {"CELERY_BROKER_URL": "sqs://", "NT_BROKER_PASSWORD_FILE": "/nowhere", "SYMBOLS": "foo/bar"}
    shown = plain_celery(redis_server.url(), "owners", folder=tmp_path, **foreign)
    assert (shown.returncode, shown.stderr.count("\n")) == (0, 1), shown.stderr
    assert shown.stderr.startswith("warning: SYMBOLS=")
    assert "BTCUSDT" in shown.stdout


def test_without_the_packages_of_the_extra_it_says_which_extra_is_missing(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['rich'] = None")
    shown = plain_celery(NOBODY, "owners", folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert (shown.returncode, shown.stdout) == (1, "")
    wanted = "Error: this needs the package rich, which is not installed: pip install 'tickfence[cli]'\n"
    assert shown.stderr == wanted


def test_a_setting_that_is_not_accepted_is_one_line_and_a_status() -> None:
    shown = celery("http://nonsense", "owners")
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith("error: REDIS_URL=http://nonsense: must be a URL that starts with redis://")
