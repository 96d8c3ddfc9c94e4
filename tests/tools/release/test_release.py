"""A release: the same bytes from every checkout of a commit, every component listed, every file named with its digest."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from tests.test_repository import ROOT, tracked
from tools.release.artifacts import LOCKS

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SOMEONE = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "a"), ("EMAIL", "a@b.c"), ("DATE", "1790000000 +0000"))
}


def checkout(folder: Path) -> Path:
    """A commit of what this repository holds now, in a repository of its own."""
    for path in tracked():
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "all"]):
        plain = ["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"]
        subprocess.run(["git", *plain, *words], cwd=folder, env=os.environ | SOMEONE, check=True)
    return folder


def release(folder: Path, version: str = VERSION) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.release", version, "--no-image"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def dist(source: Path) -> Path:
    done = release(source)
    assert done.returncode == 0, done.stderr
    return source / "dist"


def test_it_consists_of(dist: Path) -> None:
    start = f"tickfence-{VERSION}"
    assert {path.name for path in dist.iterdir()} == {
        *(f"{start}{end}" for end in (".tar.gz", "-py3-none-any.whl", "-image.tar", ".cdx.json", "-ccxt.cdx.json")),
        *(f"{start}.provenance.json", "SHA256SUMS"),
    }


def test_another_checkout_of_the_commit_gives_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    other = checkout(tmp_path / "other")
    (other / "README.md").touch()
    done = release(other)
    assert done.returncode == 0, done.stderr
    assert (other / "dist" / "SHA256SUMS").read_text() == (dist / "SHA256SUMS").read_text()


def test_the_provenance_names_the_commit_and_the_digest_of_every_file(source: Path, dist: Path) -> None:
    [path] = dist.glob("*.provenance.json")
    statement = json.loads(path.read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    named = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    files = set(dist.iterdir()) - {path, dist / "SHA256SUMS"}
    assert named == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=source, capture_output=True, text=True, check=True)
    needs = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert needs[0]["digest"] == {"gitCommit": commit.stdout.strip()}
    assert {one["name"] for one in needs[1:]} == set(LOCKS)


@pytest.mark.parametrize(("lock", "suffix"), LOCKS.items())
def test_each_locked_package_is_listed_with_its_hashes(lock: str, suffix: str, dist: Path) -> None:
    found = json.loads((dist / f"tickfence-{VERSION}{suffix}.cdx.json").read_text())
    assert (found["bomFormat"], found["metadata"]["component"]["version"]) == ("CycloneDX", VERSION)
    listed = {(one["name"], one["version"]) for one in found["components"]}
    assert listed == set(re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;]+)", (ROOT / lock).read_text(), re.MULTILINE))
    assert all(one["externalReferences"][0]["hashes"] for one in found["components"])


def test_the_image_is_built_from_what_dockerignore_lets_through(dist: Path) -> None:
    with tarfile.open(dist / f"tickfence-{VERSION}-image.tar") as archive:
        names = archive.getnames()
    assert {"Dockerfile", "tickfence/__init__.py", "requirements.txt", "tools/simulator/__init__.py"} <= set(names)
    assert [name for name in names if name.startswith(("tests", "docs", "tools/chaos", "secrets"))] == []


def test_only_a_clean_checkout_of_the_version_is_released(source: Path, dist: Path) -> None:
    assert "VERSION is 9.9.9, and pyproject.toml says" in release(source, "9.9.9").stderr
    kept = (dist / "SHA256SUMS").read_bytes()
    (dist / "photo.jpg").write_text("mine")
    done = release(source)
    (dist / "photo.jpg").unlink()
    assert done.returncode == 2 and done.stderr.endswith("must be new or hold a release only; it holds photo.jpg\n")
    (source / "tickfence" / "more.py").write_text("")
    done = release(source)
    (source / "tickfence" / "more.py").unlink()
    assert (done.returncode, done.stderr) == (
        2,
        "error: 1 files differ from the commit, for example tickfence/more.py\n",
    )
    assert (dist / "SHA256SUMS").read_bytes() == kept
