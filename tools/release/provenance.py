"""Where a release comes from: an in-toto statement with SLSA provenance, version 1.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tools.release.artifacts import LOCKS
from tools.release.source import Source


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def statement(source: Source, files: Iterable[Path], images: Mapping[str, str]) -> dict[str, Any]:
    """The statement. It holds no time but the commit's, so that the same commit gives the same statement.

    Args:
        source: What was built.
        files: What it became.
        images: Tag -> digest of the images that were built.
    """
    subjects = {path.name: digest(path) for path in files} | dict(images)
    locks = [{"name": lock, "digest": {"sha256": digest(source.root / lock)}} for lock in LOCKS]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": found}} for name, found in sorted(subjects.items())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:tickfence:make-release:v1",
                "externalParameters": {"version": source.version},
                "internalParameters": {"SOURCE_DATE_EPOCH": source.epoch},
                "resolvedDependencies": [
                    {"uri": "urn:tickfence:repository", "digest": {"gitCommit": source.commit}},
                    *locks,
                ],
            },
            "runDetails": {
                "builder": {
                    "id": "urn:tickfence:make-release",
                    "version": {
                        "python": platform.python_version(),
                        **{name: version(name) for name in ("build", "cyclonedx-bom", "hatchling")},
                    },
                }
            },
        },
    }
