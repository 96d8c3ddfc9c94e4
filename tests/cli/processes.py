"""``celery -A tasks ...`` as one types it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from tickfence.cli import plugin
from tickfence.settings import load_for_reader
from tools.local.roles import ROOT

CELERY = str(Path(sys.executable).parent / "celery")


def environment(url: str, **more: str) -> dict[str, str]:
    """This process's environment without settings, but with the Redis at ``url``."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NT_") and name != "SYMBOLS"}
    return plain | {"REDIS_URL": url} | more


def celery(
    url: str, *arguments: str, folder: Path = ROOT, options: tuple[str, ...] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    """Run ``celery -A tasks OPTIONS ARGUMENTS`` to its end."""
    return subprocess.run(
        [sys.executable, CELERY, "-A", "tasks", *options, *arguments],
        cwd=folder,
        env=environment(url, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def typed(url: str, line: str, **options: Any) -> Result:
    """Run ``celery LINE`` in this process, which takes a tenth of the time.

    Args:
        url: the Redis.
        line: one of our commands, as one types it.
        options: of :meth:`click.testing.CliRunner.invoke`: ``input``, ``env``.
    """
    name, *words = shlex.split(line)
    load_for_reader.cache_clear()
    try:
        settings = {"REDIS_URL": url, **options.pop("env", {})}
        return CliRunner().invoke(getattr(plugin, name), words, env=settings, **options)
    finally:
        load_for_reader.cache_clear()


def shell(url: str, line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell, in which ``celery`` is this project's."""
    command = f'set -o pipefail; celery() {{ "{sys.executable}" "{CELERY}" -A tasks "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=environment(url, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def found(url: str, *arguments: str) -> Any:
    """What a command of ours shows with ``--json``, run in this process."""
    shown = typed(url, shlex.join([*arguments, "--json"]))
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)
