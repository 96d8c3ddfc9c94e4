"""Programs that some tests need and Python packages do not bring."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def program(name: str, package: str) -> str:
    """Path of a program on the PATH. Without it the test is skipped; under `.ci/run`, which installs it, it fails.

    Parameters:
        package: Debian's package that has it.
    """
    if path := shutil.which(name):
        return path
    missing = f"{name} is not on the PATH; on Debian: apt-get install --no-install-recommends {package}"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def libraries(found: str) -> dict[str, str]:
    """Environment in which the program ``found`` finds its libraries, also where its packages were only unpacked."""
    folders = (Path(found).resolve().parent.parent / "lib").glob("*-linux-gnu")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, folders))}
