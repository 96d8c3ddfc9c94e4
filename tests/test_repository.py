"""What holds for the repository as a whole: imports run downwards, nothing names a machine or a package host."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.conftest import ON_ONE_WORKER

ROOT = Path(__file__).resolve().parent.parent

# A module may import from levels below its own, and from its own package. Every Python file of the product has its level.
LEVELS = [
    {"tickfence.redis_access.address", "tickfence.instrument", "tickfence.keys", "tickfence.celery_environment"},
    {"tickfence.amqp_address"},
    {"tickfence.settings"},
    {"tickfence.redis_access"},
    {"tickfence.analytics", "tickfence.coordination", "tickfence.streams", "tickfence.monitoring"},
    {"tickfence.timeline", "tickfence.recordings"},
    {"tickfence.readers", "tickfence.batch"},
    {"tickfence.mcp"},
    {
        "tasks",
        "beat_schedule",
        "ingest",
        "tickfence.web",
        "tickfence.cli",
        "tickfence.recorder",
        "tickfence.alerts",
        "tools.simulator",
    },
    {"tickfence.client"},
    {"tickfence.__main__", "celeryconfig", "flowerconfig", "tools.local"},
    {"examples"},
    {"tools.chaos", "tools.benchmarks", "tools.fuzz", "tools.reference", "tools.release", "tools.site"},
]
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}


def part(module: str) -> str:
    """The entry of :data:`LEVELS` that a module belongs to, or ``""``."""
    words = module.split(".")
    names = [".".join(words[:count]) for count in range(len(words), 0, -1)]
    return next((name for name in names if name in LEVEL), "")


def tracked(suffix: str = "") -> list[Path]:
    """The repository's files, by git's word; where there is no git, all outside hidden folders."""
    try:
        git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        found = [ROOT / name for name in git.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        hidden = re.compile(r"(^|/)(\.(?!ci/)[^/]*|__pycache__)/")
        found = [path for path in ROOT.rglob("*") if not hidden.search(str(path.relative_to(ROOT)))]
    return [path for path in found if path.is_file() and path.name.endswith(suffix)]


def module(path: Path) -> str:
    """The name by which a file is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def upward(importer: str, imported: str) -> bool:
    """Whether an import breaks the rule: nothing of the product imports tests, and nothing but tools imports tools."""
    if imported.partition(".")[0] == "tests":
        return True
    own, other = part(importer), part(imported)
    return bool(other) and own != other and LEVEL[other] >= LEVEL[own]


def product() -> list[Path]:
    """Python files apart from the tests."""
    return [path for path in tracked(".py") if path.relative_to(ROOT).parts[0] != "tests"]


def test_imports_run_downwards_only() -> None:
    assert [
        f"{module(path)} imports {name}"
        for path in product()
        if part(module(path))
        for name in imports(path)
        if upward(module(path), name)
    ] == []


@pytest.mark.parametrize(
    ("importer", "imported", "wrong"),
    [
        ("tickfence.analytics.book", "tickfence.streams.read", True),
        ("tickfence.coordination.lease", "tasks.cycles", True),
        ("tickfence.settings", "tickfence.monitoring.logs", True),
        ("tickfence.redis_access.address", "tickfence.redis_access.connect", True),
        ("tasks.cycles", "ingest.feed", True),
        ("tasks.cycles", "tools.local.ports", True),
        ("tools.benchmarks.hrw", "tests.processes", True),
        ("tasks.cycles", "tickfence.analytics.report", False),
        ("ingest.feed", "msgspec", False),
    ],
)
def test_the_rule_of_imports(importer: str, imported: str, wrong: bool) -> None:
    assert upward(importer, imported) is wrong


def test_every_module_has_its_level() -> None:
    packages = {"tickfence", "tools"}
    assert [name for path in product() if (name := module(path)) not in packages and not part(name)] == []


def test_one_package_of_the_product_imports_redis_py() -> None:
    assert {
        module(path)
        for path in product()
        for name in imports(path)
        if name.partition(".")[0] == "redis" and not module(path).startswith(("tickfence.redis_access", "tools."))
    } == set()


FORBIDDEN = {
    "a package host": re.compile(
        r"https?://[^\s\"']*(?:pypi|pythonhosted|/simple\b)|--(?:extra-)?index-url|--find-links", re.I
    ),
    "a folder of one machine": re.compile(r"(?<![\w.])/(?:root|work|home/\w+|Users/\w+|opt/\w+)/"),
    "a secret": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}"),
    "both sides of a merge": re.compile(r"^(?:<{7}|>{7}) ", re.M),
}


def test_no_tracked_file_has_a_package_host_a_machine_a_secret_or_two_sides() -> None:
    wrong = []
    for path in tracked():
        if path == Path(__file__):
            continue
        text = path.read_text(errors="replace")
        for what, pattern in FORBIDDEN.items():
            if found := pattern.search(text):
                line = text.count("\n", 0, found.start()) + 1
                wrong.append(f"{path.relative_to(ROOT)}:{line} has {what}: {found.group()}")
    assert wrong == []


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a package host", "--index-url x"),
        ("a package host", "https://pypi.example/simple"),
        ("a folder of one machine", "cd /home/ann/app"),
        ("a secret", "AKIA" + "A" * 16),
        ("both sides of a merge", "text\n" + "<" * 7 + " HEAD\n"),
    ],
)
def test_the_forbidden_is_found(what: str, text: str) -> None:
    assert FORBIDDEN[what].search(text)


LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-ccxt.txt")


def package(*, ccxt: bool = True) -> list[str]:
    """What the package tickfence and its extras depend on, as pyproject.toml says it; ccxt has a lock of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *chain(*(extras[name] for name in extras if ccxt or name != "ccxt"))]


def names(lines: Iterable[str]) -> set[str]:
    """The packages that lines of requirements name."""
    return {found.group().lower() for line in lines if (found := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line))}


def lines_of(page: str) -> list[str]:
    return (ROOT / page).read_text().splitlines()


def test_each_direct_dependency_has_its_reason() -> None:
    reasons = dict(re.findall(r"^\| ([\w.-]+) \| (.{10,}) \|$", (ROOT / "docs" / "dependencies.md").read_text(), re.M))
    wanted = names([*package(), *lines_of("requirements.in"), *lines_of("requirements-dev.in")])
    assert {"redis", "fastapi", "celery", "flower", "pytest"} <= wanted
    assert wanted - reasons.keys() == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_the_locks_pin_what_is_named(lock: str) -> None:
    more = lines_of("requirements-dev.in") if lock == "requirements-dev.txt" else []
    wanted = [*package(ccxt="ccxt" in lock), *lines_of("requirements.in"), *more]
    assert names(wanted) - names(lines_of(lock)) == set(), "run: make lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pinned_package_has_a_hash(lock: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())
    assert len(entries) > 20
    assert [e.splitlines()[0] for e in entries if "==" not in e or "--hash=sha256:" not in e] == []


def test_what_a_folder_of_tests_shares_ends_with_it_and_is_started_once() -> None:
    shared = [path.parent for path in ROOT.glob("tests/**/conftest.py") if 'scope="package"' in path.read_text()]
    assert shared
    for folder in shared:
        assert (folder / "__init__.py").exists(), f"{folder}: without it pytest keeps the fixture until the last test"
        assert f"{folder.relative_to(ROOT).as_posix()}/" in ON_ONE_WORKER
