"""What mkdocs calls while it builds the site: pages outside docs/ get a place, and links lead to it.

https://www.mkdocs.org/user-guide/configuration/#hooks
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

OUTSIDE = {
    "README.md": "index.md",
    **{f"{name}.md": f"{name.lower()}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")},
    "LICENSE": "LICENSE.txt",
    **{
        str(path.relative_to(ROOT)): f"images/{path.name}"
        for path in (ROOT / "tools" / "benchmarks" / "results").glob("*.png")
    },
}
"""Files outside docs/ -> their places in the site, relative to the root of each."""
_HOME = {place: name for name, place in OUTSIDE.items()}

_LINK = re.compile(r"(\]\()([^)#\s:]+)(#[^)\s]*)?(\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out entries of the navigation whose page is not in this checkout."""
    config.nav = [_present(entry) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and images outside docs/."""
    for name, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    here = (ROOT / _HOME[page.file.src_uri] if page.file.src_uri in _HOME else DOCS / page.file.src_uri).parent

    def place(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(here / link[2]))
        name = str(target.relative_to(ROOT))
        found = OUTSIDE.get(name) or (str(target.relative_to(DOCS)) if target.is_relative_to(DOCS) else link[2])
        return f"{link[1]}{found}{link[3] or ''}{link[4]}"

    return _LINK.sub(place, markdown)


def _present(entry: Any) -> Any:
    [(title, inside)] = entry.items()
    if isinstance(inside, str):
        return entry
    return {title: [one for one in inside if all(_exists(page) for page in one.values())]}


def _exists(page: str) -> bool:
    return page in _HOME or (DOCS / page).exists()
