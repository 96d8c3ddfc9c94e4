"""Counts code lines by folder: `python -m tools.reference.code_lines eed7cb8 HEAD`.

A code line is a line of Python or Lua that has something besides comments, docstrings and space. Tests are not counted.
Each argument is a git revision.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from collections import Counter
from pathlib import PurePath

_NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}
_OUTER = {"tickfence", "tools"}  # folders were at the root before they came into these
_RENAMED = {"command_line": "cli"}


def python_lines(source: str) -> int:
    """Code lines of a Python file. A string that is a statement is a docstring."""
    docstrings = {
        (node.lineno, node.col_offset)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE and token.start not in docstrings:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines)


def lua_lines(source: str) -> int:
    """Code lines of a Lua file whose comments are `--` to the end of the line."""
    return sum(1 for line in source.splitlines() if line.strip() and not line.lstrip().startswith("--"))


def folder(path: PurePath) -> str:
    """The folder that a file is counted in: `analytics` for `analytics/book.py` and `tickfence/analytics/book.py`."""
    parts = [part for part in path.parts[:-1] if part not in _OUTER]
    return _RENAMED.get(parts[0], parts[0]) if parts else "files outside these folders"


def count(revision: str) -> Counter[str]:
    """Folder -> code lines of a git revision."""
    found: Counter[str] = Counter()
    for name in _git("ls-tree", "-r", "--name-only", revision).splitlines():
        path = PurePath(name)
        lines = {".py": python_lines, ".lua": lua_lines}.get(path.suffix)
        if lines and path.parts[0] != "tests":
            found[folder(path)] += lines(_git("show", f"{revision}:{name}"))
    return found


def table(revisions: list[str]) -> str:
    """The counts of revisions side by side, largest folder first."""
    counts = [count(revision) for revision in revisions]
    names = sorted({name for one in counts for name in one}, key=lambda name: -max(one[name] for one in counts))
    rows = [["folder", *revisions], *([name, *(f"{one[name]:,}" for one in counts)] for name in names)]
    rows.append(["all", *(f"{one.total():,}" for one in counts)])
    return "\n".join(f"{row[0]:<30}" + "".join(f"{cell:>12.12}" for cell in row[1:]) for row in rows)


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    print(table(sys.argv[1:] or ["HEAD"]))
