"""Names in a folder that survive a loss of power."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: str | Path) -> None:
    """Wait until the disk has the names in a local folder: those that were given, and that others are gone.

    Raises:
        OSError: the disk does not take them.
    """
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
