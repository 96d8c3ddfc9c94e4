"""On what a measurement was made."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tools.local.embedded_redis import server_command

PACKAGES = ("celery", "kombu", "redis", "hiredis", "numpy", "msgspec", "aiohttp")


def facts() -> dict[str, Any]:
    """Processor, cores, system, and the versions of what does the work."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "redis-server": _redis(),
        **{name: version(name) for name in PACKAGES},
    }


def described() -> str:
    """The same in a line."""
    return ", ".join(f"{name} {value}" for name, value in facts().items())


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "unknown"


def _redis() -> str:
    program = server_command(0, Path())[0]
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\S+)", shown)
    return found[1] if found else shown.strip()
