"""The commands that the pages show: in blocks of shell, and in the text between backquotes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_DOCS = sorted((ROOT / "docs").glob("*.md"), key=lambda page: (page.name.startswith("how-to-"), page.name))
# Guides come last: they show some commands of other pages, where these stand in an order in which they work.
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *_DOCS]

PROGRAMS = {
    *("make", "celery", "tickfence", "python", "pip", "sh", ".", "for", "pre-commit"),
    *("redis-cli", "curl", "jq", "openssl", "promtool", "prometheus"),
    *("docker", "podman", "podman-compose", "kubectl", "rabbitmqctl", "rabbitmq-diagnostics"),
    "openapi-python-client",
    "ACL",  # a command of Redis itself: you type it after redis-cli
}

LANGUAGES = {"sh", "console", "python", "json", "text"}
"""Of blocks: lines to type; prompts (`$ `) with what they show; programs; data; anything else."""

_BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LOOP = re.compile(r"^for .*?^done", re.MULTILINE | re.DOTALL)
_ASSIGNMENTS = re.compile(r"^(?:[A-Z_]+=\S+ )+")


@dataclass(frozen=True)
class Command:
    """A line to type.

    Attributes:
        text: The line without its prompt and comment.
        shown: The output that the page shows for it, if any.
    """

    text: str
    shown: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """The first word after any assignments, without the folder of the virtual environment."""
        return _ASSIGNMENTS.sub("", self.text).split()[0].removeprefix(".venv/bin/")


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Each block of a page: its language, its text."""
    for found in _BLOCK.finditer(text):
        yield found[1], found[2]


def in_blocks(text: str) -> Iterator[Command]:
    """Every line to type in the blocks of a page."""
    for language, block in blocks(text):
        lines = _LOOP.sub(_in_one_line, block.replace("\\\n", "")).splitlines()
        if language == "sh":
            yield from (Command(_bare(line)) for line in lines if _bare(line))
        if language == "console":
            for session in re.split(r"^\$ ", "\n".join(lines), flags=re.MULTILINE)[1:]:
                typed, *shown = session.splitlines()
                yield Command(_bare(typed), tuple(shown))


def spans(text: str) -> list[str]:
    """The texts in backquotes on a page, outside its blocks."""
    found: list[str] = re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text))
    return found


def in_text(text: str) -> Iterator[Command]:
    """The spans that begin with one of PROGRAMS and have arguments: a single word is a program's name, not a command."""
    for span in spans(text):
        command = Command(span)
        if _ASSIGNMENTS.sub("", f"{span} ").strip() and command.program in PROGRAMS and " " in span:
            yield command


def promql(text: str) -> list[str]:
    """The PromQL expressions and metric names in a page's backquotes."""
    metric = r"\b(nt|process)_[a-z]+_\w*[a-z]\b"
    return [span for span in spans(text) if re.match(rf"((sum|max|rate|increase)\b.*\(.*)?{metric}", span)]


def commands() -> dict[str, Command]:
    """Every command of every page, once, by its text; with its output if a page shows it."""
    found: dict[str, Command] = {}
    for page in PAGES:
        text = page.read_text()
        for command in (*in_blocks(text), *in_text(text)):
            if command.shown or command.text not in found:
                found[command.text] = command
    return found


def files() -> dict[str, str]:
    """The programs that the pages ask you to save, by name: those that begin with it, like ``# spread_watch.py``."""
    return {
        named[1]: text
        for page in PAGES
        for language, text in blocks(page.read_text())
        if language == "python" and (named := re.match(r"# (\w+\.py)\n", text))
    }


def _in_one_line(loop: re.Match[str]) -> str:
    return re.sub(r"\s*\n\s*", "; ", loop[0]).replace("do; ", "do ")


def _bare(line: str) -> str:
    return re.sub(r"(^|\s+)#\s.*", "", line).strip()
