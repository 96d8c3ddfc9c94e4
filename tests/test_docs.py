"""Links, files and modules that the pages and docstrings name exist; the words are plain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *(ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")), *DOCS]
FOLDERS = sorted(init.parent.name for init in ROOT.glob("*/__init__.py"))

NOT_PLAIN = re.compile(  # except as a metric's label: `anew`
    r"(?<![\"'`])\b([Aa]new|[Ii]n\s+vain|[Oo]ne\s+who|[Bb]e\s+it|[Ss]o\s+many\s+as|[Bb]y\s+himself)\b"
)


def links(page: Path) -> Iterator[Path]:
    """The files a page links to."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            yield (page.parent / target).resolve()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_is_dead(page: Path) -> None:
    assert [str(target) for target in links(page) if not target.exists()] == []


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings: lower-case words joined by hyphens."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_to_a_heading_finds_it(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([\w./-]*\.md)?#([^)]+)\)", page.read_text()):
        assert heading in headings((page.parent / target) if target else page), f"{target}#{heading}"


def test_the_readme_is_short() -> None:
    text = README.read_text()
    assert len(text) < 5000 and text.count("\n") < 70, "two screens"
    assert len(re.findall(r"!\[", text)) == 1, "one screenshot"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_targets_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)}|deploy|docs|tests)/[\w./-]*)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []
    targets = re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = {target for line in targets for target in line.split()}
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= known


def references(path: Path) -> Iterator[str]:
    """The modules of this repository that a file names in backquotes: ``package.module``."""
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


def test_the_words_are_plain() -> None:
    found = []
    for path in [*PAGES, *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")))]:
        if path.suffix in {".md", ".py", ".lua"}:
            text = path.read_text()
            lines = ((text.count("\n", 0, match.start()) + 1, match[0]) for match in NOT_PLAIN.finditer(text))
            found += [f"{path.relative_to(ROOT)}:{line}: {phrase}" for line, phrase in lines]
    assert found == []
