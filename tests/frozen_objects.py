"""What a process has frozen (:mod:`tickfence.monitoring.garbage`), told by itself when it ends."""

from __future__ import annotations

import os
from pathlib import Path

_AT_ITS_END = """\
import atexit, gc, pathlib
atexit.register(lambda: pathlib.Path(__file__).with_name("frozen").write_text(str(gc.get_freeze_count())))
"""


def telling(folder: Path) -> dict[str, str]:
    """Variables for a Python process that is to tell; ``folder`` is for this one alone."""
    (folder / "sitecustomize.py").write_text(_AT_ITS_END)
    path = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{path}" if path else f"{folder}"}


def frozen(folder: Path) -> int:
    """How many objects it left alone, once it has ended in order."""
    return int((folder / "frozen").read_text())
