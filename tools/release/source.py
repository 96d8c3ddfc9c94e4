"""The commit that a release is made from."""

from __future__ import annotations

import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path


class NotReleasable(Exception):
    """The checkout is not what the release should be made from; the message says why."""


@dataclass(frozen=True)
class Source:
    """A clean checkout of the version to release.

    Attributes:
        root: Its folder.
        version: As in pyproject.toml.
        commit: Its commit, 40 hexadecimal digits.
        epoch: The commit's time, seconds since 1970: the time that every built file bears (SOURCE_DATE_EPOCH).
    """

    root: Path
    version: str
    commit: str
    epoch: int

    @classmethod
    def of(cls, root: Path, version: str) -> Source:
        """Look at the checkout in ``root``.

        Raises:
            NotReleasable: The version is another one, the changelog does not have it, or files differ from the commit.
        """
        named = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
        if version != named:
            raise NotReleasable(f"VERSION is {version}, and pyproject.toml says {named}")
        if f"\n## [{version}]" not in (root / "CHANGELOG.md").read_text():
            raise NotReleasable(f"CHANGELOG.md has no heading for {version}: ## [{version}]")
        if changed := git(root, "status", "--porcelain").splitlines():
            raise NotReleasable(f"{len(changed)} files differ from the commit, for example {changed[0].split()[-1]}")
        commit, epoch = git(root, "show", "--no-patch", "--format=%H %ct", "HEAD").split()
        return cls(root, version, commit, int(epoch))


def git(root: Path, *arguments: str) -> str:
    """What a git command prints.

    Raises:
        NotReleasable: git is not there, or fails.
    """
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise NotReleasable("git is not installed") from None
    except subprocess.CalledProcessError as error:
        raise NotReleasable(error.stderr.strip()) from None
