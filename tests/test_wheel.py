"""The wheel, installed in an environment of its own outside the checkout, where Celery cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.processes import wait_until
from tests.web.reporting import Cluster
from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis

ROOT = Path(__file__).parents[1]

# In place of a download: the environment imports the packages of this one, but only those that the wheel asks for.
_PATH = """\
import sys
sys.path.append({packages!r})
for name in {absent!r}: sys.modules[name] = None
"""
ROLES_ONLY = ["celery", "kombu", "amqp", "billiard", "flower", "aiohttp"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `python -m build` does, without the network."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check", "--wheel"]
    subprocess.run([*build, "--outdir", folder, ROOT], check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


class Installed:
    """An environment with nothing but the wheel."""

    def __init__(self, folder: Path, wheel: Path, absent: list[str]) -> None:
        self.folder = folder
        self._bin = folder / "env" / "bin"
        venv.create(folder / "env", with_pip=False, symlinks=True)
        pip = [sys.executable, "-m", "pip", "--python", self._bin / "python", "install", "--quiet"]
        subprocess.run([*pip, "--disable-pip-version-check", "--no-index", "--no-deps", wheel], check=True)
        [packages] = (folder / "env" / "lib").glob("python*/site-packages")
        mine = next(path for path in sys.path if path.endswith("site-packages"))
        lines = _PATH.format(packages=mine, absent=absent)
        (packages / "others.py").write_text(lines)
        (packages / "others.pth").write_text("import others\n")

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment to its end, outside the checkout."""
        command = [str(self._bin / words[0]), *words[1:]]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a program of the environment."""
        return subprocess.Popen([str(self._bin / words[0]), *words[1:]], cwd=self.folder, env=environment)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("readers"), wheel, ROLES_ONLY)


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [name for name in names if name.endswith("METADATA")]
        told = archive.read(metadata).decode()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {name.partition("/")[0] for name in names} == {"tickfence", f"tickfence-{version}.dist-info"}
    tracked = subprocess.run(["git", "ls-files", "tickfence"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode == 0:
        there = {name for name in tracked.stdout.split() if (ROOT / name).is_file()}
        assert there <= names, "page, Lua, py.typed and all"
    assert "License-Expression: Apache-2.0" in told
    base = {line for line in told.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line}
    assert not [line for line in base if any(f" {name}" in line for name in ROLES_ONLY)]


def test_it_is_typed_finds_its_lua_and_imports_without_celery(installed: Installed) -> None:
    code = (
        "import pathlib, sys, tickfence, tickfence.readers.reader, tickfence.web.serving\n"
        "from tickfence.coordination.leadership import LEAD\n"
        "folder = pathlib.Path(tickfence.__file__).parent\n"
        # Private parts of redis-py: only the roles, which requirements.in binds to one minor version, may use them.
        "roles_only = {'tickfence.redis_access.raw_connection', 'tickfence.coordination.registration'}\n"
        "print(folder, (folder / 'py.typed').is_file(), bool(LEAD.source), roles_only.isdisjoint(sys.modules),\n"
        "      'tickfence.client' not in sys.modules)"
    )
    shown = installed.run("python", "-c", code)
    folder, *found = shown.stdout.split()
    assert (shown.stderr, found) == ("", ["True"] * 4)
    assert Path(folder).is_relative_to(installed.folder)


def test_the_command_says_its_version_and_which_extra_is_missing(
    installed: Installed, wheel: Path, tmp_path: Path
) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert installed.run("tickfence", "--version").stdout == f"tickfence {version}\n"
    bare = Installed(
        tmp_path, wheel, [*ROLES_ONLY, "fastapi", "uvicorn", "starlette", "sse_starlette", "mcp", "anyio", "httpx2"]
    )
    shown = bare.run("python", "-c", "import tickfence; tickfence.Client")
    assert shown.stderr.endswith("tickfence.Client needs the package httpx2: pip install 'tickfence[client]'\n")
    for command in (("web", "--port", str(ports.pick())), ("mcp",)):
        shown = bare.run("tickfence", *command)
        assert (shown.returncode, shown.stdout) == (1, "")
        assert shown.stderr.splitlines()[-1].startswith(f"error: tickfence {command[0]} needs the package ")
        assert shown.stderr.endswith(f"pip install 'tickfence[{command[0]}]'\n")
        assert bare.run("tickfence", command[0], "--help").returncode == 0


def test_the_command_says_which_version_it_needs_of_an_older_package(wheel: Path, tmp_path: Path) -> None:
    old = Installed(tmp_path, wheel, ROLES_ONLY)
    [packages] = (old.folder / "env" / "lib").glob("python*/site-packages")
    (packages / "mcp" / "server").mkdir(parents=True)  # found before the one of this environment
    for name in ("mcp/__init__.py", "mcp/server/__init__.py"):
        (packages / name).touch()
    shown = old.run("tickfence", "mcp")
    assert (shown.returncode, shown.stdout) == (1, "")
    wanted = "error: tickfence mcp needs mcp<3,>=2.3, and another version is installed: pip install 'tickfence[mcp]'\n"
    assert shown.stderr == wanted


def get(url: str) -> bytes | None:
    """What it answers with status 200; ``None`` while nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError:
        return None


@pytest.fixture
def web(installed: Installed, redis_client: redis.Redis, redis_server: EmbeddedRedis) -> Iterator[str]:
    """The address of `tickfence web`, beside variables that belong to other programs."""
    assert redis_client.ping()
    port = str(ports.pick())
    foreign = {"CELERY_BROKER_URL": "sqs://", "NT_BROKER_PASSWORD_FILE": "/nowhere", "SYMBOLS": "foo/bar"}
    process = installed.start("tickfence", "web", "--port", port, REDIS_URL=redis_server.url(), **foreign)
    try:
        yield f"http://{ports.LOOPBACK}:{port}"
    finally:
        process.terminate()
        process.wait(15)


def test_it_serves_reports_page_and_files_without_celery_and_beside_foreign_variables(
    web: str, installed: Installed, redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    cluster = Cluster(redis_client)
    cluster.assign({"AAUSDT": "node-001"})
    cluster.report("AAUSDT")
    wait_until(lambda: get(f"{web}/healthz"), "it to answer", 60)
    for path in (
        "/",
        "/docs",
        "/openapi.json",
        "/static/app/main.js",
        "/static/css/layout.css",
        "/docs/swagger-ui.css",
    ):
        assert get(web + path), path
    assert json.loads(get(f"{web}/reports/AAUSDT") or "")["symbol"] == "AAUSDT"
    ask = f"import sys; from tickfence import Client; print(Client('{web}', max_age=None).report('AAUSDT').symbol)"
    shown = installed.run("python", "-c", f"{ask}; print({{'fastapi', 'starlette', 'mcp'}} & sys.modules.keys())")
    assert (shown.stdout, shown.stderr) == ("AAUSDT\nset()\n", "")
    [package] = json.loads((ROOT / "server.json").read_text())["packages"]
    arguments = [argument["value"] for argument in package["packageArguments"]]
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
    spoken = subprocess.run(
        [installed.folder / "env" / "bin" / package["identifier"], *arguments],
        cwd=installed.folder,
        env={"REDIS_URL": redis_server.url(), "CELERY_BROKER_URL": "sqs://"},
        input=json.dumps(initialize) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(spoken.stdout.splitlines()[0])["result"]["serverInfo"]["name"] == "tickfence"
