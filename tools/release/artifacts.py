"""The files of a release: source distribution, wheel, image context, lists of components."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.release.source import Source, git

LOCKS = {"requirements.txt": "", "requirements-ccxt.txt": "-ccxt"}
"""Lock file -> suffix of its list of components. The others are for tests."""


def packages(source: Source, folder: Path) -> None:
    """Build the source distribution, and the wheel from it. Nothing is downloaded."""
    build = [sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check", "--outdir", str(folder)]
    _run([*build, "."], source)


def context(source: Source, folder: Path) -> Path:
    """Pack what the image is built from: the files of the commit that .dockerignore lets through, and the Dockerfile.

    Returns:
        The archive.
    """
    lines = (source.root / ".dockerignore").read_text().splitlines()
    names = ["Dockerfile", ".dockerignore", *(line[1:] for line in lines if line.startswith("!"))]
    archive = folder / f"tickfence-{source.version}-image.tar"
    git(source.root, "archive", "--format=tar", f"--output={archive}", source.commit, *names)
    return archive


def components(source: Source, folder: Path) -> None:
    """Write the CycloneDX list of components (SBOM) of each lock file: names, versions, hashes."""
    for lock, suffix in LOCKS.items():
        output = folder / f"tickfence-{source.version}{suffix}.cdx.json"
        write = [sys.executable, "-m", "cyclonedx_py", "requirements", lock, "--pyproject", "pyproject.toml"]
        # The library writes by the schema. To check that again takes ten seconds for each lock.
        _run([*write, "--no-validate", "--output-reproducible", "--output-file", str(output)], source)


def _run(command: list[str], source: Source) -> None:
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(source.epoch)}
    subprocess.run(command, cwd=source.root, env=environment, stdout=subprocess.DEVNULL, check=True)
