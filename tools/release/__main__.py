"""Builds a release in dist/: `python -m tools.release 0.2.0`. docs/releasing.md explains each file."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from tools.release import artifacts, image
from tools.release.provenance import digest, statement
from tools.release.source import NotReleasable, Source


def main(arguments: list[str]) -> int:
    """Build everything; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    parser.add_argument("version", help="the version to release, as pyproject.toml has it")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("dist"),
        help="folder, new or with an earlier release, which is deleted (default: dist)",
    )
    parser.add_argument("--no-image", action="store_true", help="build no image, even if docker or podman is there")
    options = parser.parse_args(arguments)
    try:
        release(Source.of(Path.cwd(), options.version), options.output.resolve(), with_image=not options.no_image)
    except NotReleasable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def release(source: Source, folder: Path, *, with_image: bool) -> None:
    """Build the release of ``source`` in ``folder``, and say what there is."""
    if folder.exists():
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else [folder.name]
        others = [name for name in names if not name.startswith(("tickfence", "SHA256SUMS"))]
        if others:
            raise NotReleasable(f"--output={folder}: must be new or hold a release only; it holds {min(others)}")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    artifacts.packages(source, folder)
    archive = artifacts.context(source, folder)
    artifacts.components(source, folder)
    images: dict[str, str] = {}
    if with_image and (engine := image.engine()):
        images = dict.fromkeys(image.tags(source.version), image.build(source, archive, engine))
    files = sorted(folder.iterdir())
    provenance = folder / f"tickfence-{source.version}.provenance.json"
    provenance.write_text(json.dumps(statement(source, files, images), indent=2) + "\n")
    lines = [f"{digest(path)}  {path.name}\n" for path in sorted([*files, provenance])]
    (folder / "SHA256SUMS").write_text("".join(lines))
    print(f"tickfence {source.version}, commit {source.commit}\n" + "".join(lines), end="")
    print("".join(f"{found}  {tag}\n" for tag, found in images.items()) or "no image\n", end="")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
