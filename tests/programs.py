"""Programs that some tests need and that are not Python packages."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def program(name: str, package: str) -> str:
    """Path of a program on the PATH. Without it the test is skipped, or fails under `.ci/run`, which installs it.

    Args:
        name: of the program.
        package: the Debian package that contains it.
    """
    if path := shutil.which(name):
        return path
    missing = f"{name} is not on the PATH; on Debian: apt-get install --no-install-recommends {package}"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def libraries(found: str) -> dict[str, str]:
    """Environment in which the program ``found`` finds its libraries, even if its packages are only unpacked."""
    folders = (Path(found).resolve().parent.parent / "lib").glob("*-linux-gnu")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, folders))}
