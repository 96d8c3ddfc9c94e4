"""Every command of every page: run beside a real `make run`, or listed in NOT_RUN with the reason."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.checkout import Checkout, free_ports
from tests.docs.pages import LANGUAGES, PAGES, PROGRAMS, Command, blocks, commands, in_blocks, spans
from tests.processes import wait_until
from tests.programs import program
from tools.local.ports import pick

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

COMMANDS = commands()

PACKAGES = {
    **{name: name for name in ("curl", "jq", "openssl", "prometheus")},
    "promtool": "prometheus",
}
"""Programs that the pages use and this project does not bring, with their Debian packages."""

NOT_RUN = {
    "((NT_|SYMBOLS).*)?make run": "tests/docs/checkout.py starts it, with reports half as often as usual",
    "SYMBOLS=toy:.* python -m ingest": "tests/ingest/test_venues.py runs this venue",
    "celery -A tasks symbols add kraken:.*": "reads the real exchange",
    "make (test|lint)": "`.ci/run` runs them",
    "python -m pytest .*": "part of `make test`",
    "promtool test rules .*": "tests/monitoring/test_alerts.py runs the same",
    "make bench": "takes half an hour",
    "make docs": "tests/docs/test_site.py builds the site",
    "make release.*": "tests/tools/release builds one",
    "make lock": "asks a package index",
    "make compose-test": "needs a container engine, and minutes",
    "make fuzz.*": "takes minutes; tests/tools/fuzz runs a short one",
    "make chaos.*": "takes minutes; tests/tools/chaos runs short campaigns and tests the options",
    r"python -m tools\.benchmarks.*": "takes minutes",
    "celery -A tasks events": "needs a terminal",
    "tickfence (web|mcp)": "runs with a port of its own, and in tests/docs/test_blocks.py on stdio",
    r"python -m tools\.simulator .*--replay recordings.*": "needs recorded data; tests/ingest/test_replay.py has some",
    r"(NT_METRICS_PORT=\S+ )?(\.venv/bin/)?celery -A tasks (audit|backfill|batch show|worker -Q node-00.\.batch).*": "needs recorded data; tests/batch has some",
    r"make run ARGS=--record": "tests/tools/chaos starts recorders",
    "for bridge .*": "changes the network of the machine; `make compose-test` runs it",
    ".*docker .*|podman.*": "needs a container engine; `make compose-test` does the same",
    "kubectl .*": "needs a cluster; tests/deploy/test_k8s.py checks the manifests",
    "redis-cli -p 26379 .*|redis-cli --cluster .*": "tests/docs/test_redis_commands.py runs them with real servers",
    "redis-cli HGETALL .*:writer'": "`make run` has no such symbol; tests/ingest/test_writer_processes.py reads the key",
    "redis-cli --scan .* UNLINK": "deletes the stack's market data; tests/docs/test_redis_commands.py runs it",
    "rabbitmq.*": "tests/e2e/test_rabbitmq.py runs them with a real server",
    "python -m build --wheel|pip install .*": "tests/test_wheel.py builds and installs the wheel",
    r"(NT_ALERT_RULES=\S+ )?python -m tickfence\.alerts( --check)?": "tests/alerts runs it, with rules of its own",
    r"python examples/.*": "tests/examples runs each of them",
    "openapi-python-client generate .*": "tests/web/test_contract.py generates a client, and reads a report with it",
    "pre-commit install": "changes the git hooks of the checkout",
}
"""Pattern of a whole command: why it does not run here."""


@dataclass(frozen=True)
class Server:
    """A command that runs until you stop it.

    Attributes:
        pattern: Matches the whole command.
        shows: Matches its output once it works.
        ports: Default ports in the command, which the test replaces by free ones.
        instead_of: The role to stop first.
        ends: Its exit statuses after Ctrl-C.
        presses: How often you may have to press Ctrl-C.
    """

    pattern: str
    shows: str
    ports: tuple[str, ...] = ()
    instead_of: str = ""
    ends: tuple[int, ...] = (0,)
    presses: int = 1


CELERYS_CTRL_C = (0, 1)  # a worker ends with 1, and so does Flower while it starts

SERVERS = [
    Server(
        "celery -A tasks worker -Q node-001", '"message": "lease taken"', instead_of="node-001", ends=CELERYS_CTRL_C
    ),
    Server("celery -A tasks worker -Q node-01.", '"message": "lease taken"', ends=CELERYS_CTRL_C),
    Server("celery -A tasks beat", '"message": "node is alive"'),
    # While it starts, Flower misses one Ctrl-C in ten; it did so with its own logging, too.
    Server("celery -A tasks flower", "Visit me at", ends=CELERYS_CTRL_C, presses=3),
    Server(r"(NT_RECORD\S+ )*python -m tickfence\.recorder", '"message": "recorder starts"'),
    Server("python -m ingest", '"message": "connected to Redis"'),
    Server(r"tickfence web --port \d+", '"message": "web starts"', ("8000",)),
    Server(r"python -m tools\.simulator --port \d+ --symbols .*", "listening on", ("9443",)),
    Server(r"(\.venv/bin/)?celery .* --watch", "(BTCUSDT.*){2}"),
    Server("celery -A spread_watch worker .*", "written .* ms ago by node-00", ends=CELERYS_CTRL_C),
    Server("prometheus .*", "Server is ready to receive web requests", ("9090",)),
]

SILENT = re.compile(
    r"\. \.venv/bin/activate|\. \.local/env|python -m tools\.reference.*|make (kill|start|stop|reference).*|ACL LOG|.* > .*"
)
"""Commands whose effect is not in their output."""


def reasons(command: str) -> list[str]:
    """The patterns of NOT_RUN that a command matches."""
    return [pattern for pattern in NOT_RUN if re.fullmatch(pattern, command)]


def servers(command: str) -> list[Server]:
    """The rows of SERVERS that a command matches."""
    return [one for one in SERVERS if re.fullmatch(one.pattern, command)]


def need(command: str) -> None:
    """Skip if a program is missing that is neither the system's nor ours."""
    for part in command.split(" | "):
        if (first := Command(part).program) in PACKAGES:
            program(first, PACKAGES[first])


def shape(lines: Iterable[str]) -> list[str]:
    """The first two lines that have words, with each number replaced by 0."""
    worded = [" ".join(re.sub(r"\d+(\.\d+)?", "0", line).split()) for line in lines if re.search(r"[a-z]", line)]
    return worded[:2]


@pytest.mark.parametrize("text", [text for text in COMMANDS if not reasons(text) and not servers(text)])
def test_a_command_does_something_and_shows_what_the_page_says(
    text: str, checkout: Checkout, request: pytest.FixtureRequest
) -> None:
    need(text)
    if text.startswith("make "):
        request.getfixturevalue("whole")
    if text.startswith("ACL"):
        typed = f"redis-cli {re.sub('[>~*]', lambda found: chr(92) + found[0], text)}"
    else:
        typed = checkout.here(text)
    if role := re.fullmatch(r"make start ROLE=(\S+)", text):
        assert checkout.type(f"make stop ROLE={role[1]}").returncode == 0
    done = checkout.type(typed)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() != "null" and "ERR" not in done.stdout
    assert done.stdout.strip() or SILENT.fullmatch(text)
    assert shape(done.stdout.splitlines())[: len(shape(COMMANDS[text].shown))] == shape(COMMANDS[text].shown)


def test_servers_work_side_by_side_and_each_ends_by_ctrl_c(whole: Checkout, tmp_path: Path) -> None:
    running = [Running(text, whole, tmp_path / str(number)) for number, text in enumerate(COMMANDS) if servers(text)]
    try:
        for server in running:
            server.wait_until_it_works()
        for server in running:
            server.press()
        for server in running:
            server.wait_until_it_ends()
    finally:
        for server in running:
            server.kill()


class Running:
    """A command of SERVERS that runs.

    Args:
        text: The command.
        checkout: Where it runs.
        folder: A new folder for what it writes.
    """

    def __init__(self, text: str, checkout: Checkout, folder: Path) -> None:
        need(text)
        folder.mkdir()
        [self._server] = servers(text)
        self._text, self._output = text, folder / "output"
        if self._server.instead_of and checkout.roles()[self._server.instead_of]:
            assert checkout.type(f"make stop ROLE={self._server.instead_of}").returncode == 0
        typed, _ = free_ports(text.replace("/tmp/", f"{folder}/"), *self._server.ports)
        # What two of them may not share.
        own = f"FLOWER_PORT={pick()} NT_METRICS_PORT=0 NT_NAME=typed-{folder.name} NT_RECORDER_WAL={folder}/wal"
        self._process = checkout.start(f"exec env {own} {typed}", self._output)

    def wait_until_it_works(self) -> None:
        wait_until(lambda: re.search(self._server.shows, self._output.read_text(), re.DOTALL), self._said, 60, 0.05)

    def press(self) -> None:
        """Press Ctrl-C."""
        os.killpg(self._process.pid, signal.SIGINT)

    def wait_until_it_ends(self) -> None:
        for _ in range(self._server.presses - 1):
            try:
                self._process.wait(4)
                break
            except subprocess.TimeoutExpired:
                self.press()
        assert self._process.wait(20) in self._server.ends, self._said()

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _said(self) -> str:
        return f"{self._text}: {self._output.read_text()}"


def test_a_command_is_in_one_row_of_the_tables_and_no_row_is_empty() -> None:
    for text in COMMANDS:
        assert len([*reasons(text), *servers(text)]) <= 1, text
    for pattern in (*NOT_RUN, *(server.pattern for server in SERVERS)):
        assert any(re.fullmatch(pattern, text) for text in COMMANDS), pattern


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_hides(page: Path) -> None:
    text = page.read_text()
    assert re.search(r"^ +```", text, re.MULTILINE) is None, "pages.py does not see a block that is indented"
    assert {language for language, _ in blocks(text)} <= LANGUAGES
    assert {command.program for command in in_blocks(text)} <= PROGRAMS
    # In running text, a word and an option look like a command, whatever the program.
    likely = [Command(span) for span in spans(text) if re.match(r"(\S+=\S+ )*[a-z.][\w./-]* (.* )?--?[a-z]", span)]
    assert [command.text for command in likely if command.program not in PROGRAMS] == []
