"""What pages and docstrings refer to is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = sorted(init.parent.name for init in ROOT.glob("*/__init__.py"))


def links(page: Path) -> Iterator[Path]:
    """The files a page links to."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            yield (page.parent / target).resolve()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_is_dead(page: Path) -> None:
    assert [str(target) for target in links(page) if not target.exists()] == []


def headings(page: Path) -> set[str]:
    """What a link to a heading ends with: words in small letters, joined by hyphens."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_to_a_heading_finds_it(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([\w./-]*\.md)?#([^)]+)\)", page.read_text()):
        assert heading in headings((page.parent / target) if target else page), f"{target}#{heading}"


def test_the_readme_is_short() -> None:
    text = PAGES[0].read_text()
    assert len(text) < 5000 and text.count("\n") < 70, "two screens"
    assert len(re.findall(r"!\[", text)) == 1, "one screenshot"


def test_the_readme_links_every_page() -> None:
    assert set(PAGES[1:]) <= set(links(PAGES[0]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_targets_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)}|tests|docs)/[\w./-]*)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []
    targets = re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = {target for line in targets for target in line.split()}
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= known


def references(path: Path) -> Iterator[str]:
    """Modules of this repository that a file's text names in backquotes: ``package.module``."""
    yield from re.findall(rf"(?<!`)`((?:{'|'.join(FOLDERS)})\.[a-z_]+)`(?!`)", path.read_text())


def test_modules_that_docstrings_refer_to_exist() -> None:
    dead = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for name in references(path):
                module = ROOT / name.replace(".", "/")
                if not (module.with_suffix(".py").exists() or module.is_dir()):
                    dead.append(f"{path.relative_to(ROOT)}: {name}")
    assert dead == []
