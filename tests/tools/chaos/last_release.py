"""A checkout of the last release, made from this repository's history, with a virtual environment of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[3]
COMMIT = "f6a1a9b72c7898a9bda89d6d6d4abd1a4993f6af"
"""0.2.0. Set it to each new release: two versions side by side are the last one and this one."""


def check_out(folder: Path) -> Path | None:
    """The release in ``folder``, with the libraries of this version.

    ``None`` in a clone without that commit, and where it needs a library that this version does not.
    """
    if shutil.which("git") is None:
        return None
    found = subprocess.run(["git", "archive", "--format=tar", COMMIT], cwd=ROOT, capture_output=True, check=False)
    if found.returncode:
        return None
    folder.mkdir()
    subprocess.run(["tar", "-x"], cwd=folder, input=found.stdout, check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=folder, check=True)
    python = folder / ".venv" / "bin" / "python"
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    (own / "release.pth").write_text(f"{folder}\n{sysconfig.get_path('purelib')}\n")
    tried = subprocess.run(
        [str(python), "-c", "import ingest.service, tasks.node"], cwd=folder, capture_output=True, check=False
    )
    if tried.returncode:
        return None
    celery = folder / ".venv" / "bin" / "celery"
    celery.write_text("from celery.__main__ import main\nmain()\n")
    return folder
