"""The documentation site: built without a warning, from pages that are all in its navigation, without other sites."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

PARTS = ["Tutorials", "How-to guides", "Reference", "Explanation"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` does: a dead link or anchor, and a page outside the navigation, end the build."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_it_has_every_page_in_four_parts(site: Path) -> None:
    home = (site / "index.html").read_text()
    assert [part for part in PARTS if part not in home] == []
    there = {page.parent.name for page in site.glob("*/index.html")}
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} | {"changelog", "contributing", "security"} <= there
    found = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} <= {one["location"].partition("/")[0] for one in found}


def test_a_reader_loads_nothing_from_another_site(site: Path) -> None:
    loaded = re.compile(
        r"""<(?:script|img|iframe)[^>]*\bsrc=["']?(?:https?:)?//|<link[^>]*rel=["']?(?:stylesheet|preconnect)[^>]*href=["']?(?:https?:)?//"""
    )
    assert [str(page) for page in site.rglob("*.html") if loaded.search(page.read_text())] == []


OUTER = re.compile(r"https?://[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?(/[^\s)]*)?")


def test_addresses_of_other_sites_are_whole() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    wrong = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\((\w+:[^)]*)\)", page.read_text())
        if not OUTER.fullmatch(target)
    ]
    assert wrong == []
