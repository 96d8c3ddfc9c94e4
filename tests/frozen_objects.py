"""How many objects a process froze (:mod:`tickfence.monitoring.garbage`); it writes that down when it ends."""

from __future__ import annotations

import os
from pathlib import Path

_AT_EXIT = """\
import atexit, gc, pathlib
atexit.register(lambda: pathlib.Path(__file__).with_name("frozen").write_text(str(gc.get_freeze_count())))
"""


def telling(folder: Path) -> dict[str, str]:
    """Environment of the process; ``folder`` must be empty."""
    (folder / "sitecustomize.py").write_text(_AT_EXIT)
    path = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{path}" if path else f"{folder}"}


def frozen(folder: Path) -> int:
    """The number of frozen objects, after the process has ended in order."""
    return int((folder / "frozen").read_text())
