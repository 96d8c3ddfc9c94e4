"""Packages of peers, in a folder of their own: they are no requirement of tickfence."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tools.local.roles import ROOT

REDBEAT = ("celery-redbeat==2.4.2", "tenacity==9.2.1")
"""The package, and what it needs beyond Celery and redis-py, which are the same for all contestants."""

_INSTALL_WITHIN_S = 180


class NotInstalled(RuntimeError):
    """A peer's package could not be had; the text is the one line to show."""


def install(requirements: tuple[str, ...], within: Path = ROOT / ".local" / "peers") -> Path:
    """The folder with ``requirements``, to be put on ``PYTHONPATH``; made with pip unless it is there already.

    Raises :exc:`NotInstalled`.
    """
    folder = within / "-".join(requirements).replace("==", "-")
    if folder.is_dir():
        return folder
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check")
    try:
        subprocess.run(
            [*command, "--target", str(unfinished), *requirements],
            check=True,
            capture_output=True,
            text=True,
            timeout=_INSTALL_WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"pip did not install {requirements[0]} within {_INSTALL_WITHIN_S} s") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()
        raise NotInstalled(f"pip cannot install {requirements[0]}: {said[-1] if said else 'no reason given'}") from None
    unfinished.rename(folder)
    return folder
