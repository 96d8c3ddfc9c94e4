"""Every command of every page: run as it stands beside a real `make run`, or named in the table of `elsewhere`."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.checkout import Checkout, free_ports
from tests.docs.elsewhere import ELSEWHERE, elsewhere
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
"""Programs that the pages use and this project does not bring, with Debian's package of each."""


@dataclass(frozen=True)
class Server:
    """A command that goes on until it is stopped.

    Attributes:
        pattern: what the whole command matches.
        shows: what is read in its output once it works.
        ports: usual ones in it, to be replaced by free ones.
        instead_of: the role that is stopped for it.
        ends: its exit status after Ctrl-C, or those that it may be.
    """

    pattern: str
    shows: str
    ports: tuple[str, ...] = ()
    instead_of: str = ""
    ends: tuple[int, ...] = (0,)


CELERYS_CTRL_C = (0, 1)  # 1: a worker's, and Flower's while it starts

SERVERS = [
    Server(
        "celery -A tasks worker -Q node-001", '"message": "lease taken"', instead_of="node-001", ends=CELERYS_CTRL_C
    ),
    Server("celery -A tasks worker -Q node-01.", '"message": "lease taken"', ends=CELERYS_CTRL_C),
    Server("celery -A tasks beat", '"message": "node is alive"'),
    Server("celery -A tasks flower", "Visit me at", ends=CELERYS_CTRL_C),
    Server("python -m ingest", '"message": "connected to Redis"'),
    Server(r"python -m tickfence.web --port \d+", '"message": "web starts"', ("8000",)),
    Server("python -m tools.simulator --port .*", "listening on", ("9443",)),
    Server(r"(\.venv/bin/)?celery .* --watch", "(BTCUSDT.*){2}"),
    Server("prometheus .*", "Server is ready to receive web requests", ("9090",)),
]

# What they do shows elsewhere than in their output.
SILENT = {
    ". .venv/bin/activate",
    ". .local/env",
    "make reference",
}


def servers(command: str) -> list[Server]:
    """The kinds of servers that a command is one of: at most one, if the table is right."""
    return [one for one in SERVERS if re.fullmatch(one.pattern, command)]


RUN = [text for text in COMMANDS if not elsewhere(text) and not servers(text)]


def need(command: str) -> None:
    """Skip where a program is missing that is neither the system's nor ours."""
    for part in command.split(" | "):
        if (first := Command(part).program) in PACKAGES:
            program(first, PACKAGES[first])


def shape(lines: Iterable[str]) -> list[str]:
    """The first two lines that have words, whatever the numbers in them."""
    worded = [" ".join(re.sub(r"\d+(\.\d+)?", "0", line).split()) for line in lines if re.search(r"[a-z]", line)]
    return worded[:2]


@pytest.mark.parametrize("text", RUN)
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
    assert done.stdout.strip() or text in SILENT or " > " in text or re.match("make (kill|start)|ACL LOG", text)
    assert shape(done.stdout.splitlines())[: len(shape(COMMANDS[text].shown))] == shape(COMMANDS[text].shown)


@pytest.mark.parametrize("text", [text for text in COMMANDS if servers(text)])
def test_a_command_that_goes_on_works_and_ends_by_ctrl_c(text: str, whole: Checkout, tmp_path: Path) -> None:
    need(text)
    [server] = servers(text)
    if server.instead_of:
        assert whole.type(f"make stop ROLE={server.instead_of}").returncode == 0
    typed, _ = free_ports(text.replace("/tmp/", f"{tmp_path}/"), *server.ports)
    output = tmp_path / "output"
    process = whole.start(f"exec env FLOWER_PORT={pick()} NT_METRICS_PORT=0 {typed}", output)
    try:
        wait_until(lambda: re.search(server.shows, output.read_text(), re.DOTALL), output.read_text, 30, 0.05)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) in server.ends, output.read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.filterwarnings("ignore:The parameter -d is used more than once")  # by Celery's own `events`
@pytest.mark.parametrize("text", [text for text in COMMANDS if elsewhere(text)])
def test_a_command_that_is_not_run_is_right_as_far_as_can_be_told(text: str) -> None:
    [one] = elsewhere(text)
    one.instead(text)


def test_a_command_is_in_one_row_of_the_tables_and_no_row_is_empty() -> None:
    for text in COMMANDS:
        assert len([*elsewhere(text), *servers(text)]) <= 1, text
    for row in (*ELSEWHERE, *SERVERS):
        assert any(re.fullmatch(row.pattern, text) for text in COMMANDS), row.pattern


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_hides(page: Path) -> None:
    text = page.read_text()
    assert {language for language, _ in blocks(text)} <= LANGUAGES
    assert {command.program for command in in_blocks(text)} <= PROGRAMS
    # In the text a word and an option look like a command, whatever the program.
    likely = [Command(span) for span in spans(text) if re.match(r"(\S+=\S+ )*[a-z.][\w./-]* (.* )?--?[a-z]", span)]
    assert [command.text for command in likely if command.program not in PROGRAMS] == []
