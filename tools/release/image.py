"""The image of a release, with docker or podman."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from tools.release.source import Source


def engine() -> str | None:
    """The container engine that runs on this machine, if one does."""
    return next((name for name in ("docker", "podman") if shutil.which(name) and _runs(name)), None)


def tags(version: str) -> list[str]:
    """The image's names: one that stays, and one that moves on with each patch.

    Example:
        >>> tags("0.2.1")
        ['tickfence:0.2.1', 'tickfence:0.2']
    """
    return [f"tickfence:{version}", f"tickfence:{version.rpartition('.')[0]}"]


def build(source: Source, archive: Path, engine: str) -> str:
    """Build the image from the archive of its context, and tag it.

    Returns:
        Its id, a SHA-256 in 64 hexadecimal digits.
    """
    names = [word for tag in tags(source.version) for word in ("--tag", tag)]
    labels = [f"org.opencontainers.image.{key}" for key in (f"version={source.version}", f"revision={source.commit}")]
    options = [*names, *(word for label in labels for word in ("--label", label))]
    with tempfile.TemporaryDirectory() as context:
        with tarfile.open(archive) as files:
            files.extractall(context, filter="data")
        subprocess.run([engine, "build", *options, context], check=True)
    ask = [engine, "image", "inspect", "--format", "{{.Id}}", tags(source.version)[0]]
    return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip().removeprefix("sha256:")


def _runs(name: str) -> bool:
    return subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0
